/* Server-sent events; see live.h. */
#include "metrics/live.h"

#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"

#define STACK	    (128u << 10)
#define BLOCK_BYTES (16u << 10)
#define SEND_BYTES  (32u << 10) /* on their way to one listener; the kernel doubles it */

static const char head[] = "data: ", tail[] = "\n\n";
#define HEAD (sizeof(head) - 1)
#define TAIL (sizeof(tail) - 1)

/* A text as it goes out: counted, since listeners are not equally quick. */
struct frame {
	int refs; /* under the lock */
	size_t n;
	char bytes[];
};

struct listener {
	struct listener *next, **at;
	struct kf_live *live;
	struct MHD_Connection *connection;
	int fd;
	int suspended;
	struct frame *frame; /* on its way; NULL: it waits for the next */
	size_t sent;	     /* of it */
	unsigned long seen;  /* number of the last frame that was begun */
	uint64_t began_ms, moved_ms;
};

struct kf_live {
	kf_live_maker *make;
	void *ud;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	int stop, hushed, nudged;
	uint64_t made_ms;
	unsigned long number; /* of the frame */
	struct frame *frame;  /* the newest; NULL: none yet, or nobody listens */
	unsigned n;
	struct listener *listeners;
};

/* --- frames -------------------------------------------------------------------------------- */

static struct frame *make_frame(struct kf_live *live)
{
	size_t n = 0;
	kf_auto_mem char *text = live->make(live->ud, &n);
	struct frame *f = text ? kf_calloc(1, sizeof(*f) + HEAD + n + TAIL) : NULL;

	if (!f)
		return NULL;
	f->refs = 1;
	f->n = HEAD + n + TAIL;
	memcpy(f->bytes, head, HEAD);
	memcpy(f->bytes + HEAD, text, n);
	memcpy(f->bytes + HEAD + n, tail, TAIL);
	return f;
}

/* Locked. */
static void drop_frame(struct frame **f)
{
	if (*f && --(*f)->refs == 0)
		free(*f);
	*f = NULL;
}

/* --- a listener, on the server's thread ---------------------------------------------------- */

/* Locked.  Begin the newest frame, if this one has not had it: 1, else 0. */
static int begin_frame(struct listener *l)
{
	struct kf_live *live = l->live;

	if (!live->frame || l->seen == live->number)
		return 0;
	l->frame = live->frame;
	l->frame->refs++;
	l->seen = live->number;
	l->sent = 0;
	return 1;
}

/* Locked. */
static ssize_t copy_frame(struct listener *l, char *out, size_t max)
{
	size_t n = l->frame->n - l->sent;

	if (n > max)
		n = max;
	memcpy(out, l->frame->bytes + l->sent, n);
	l->sent += n;
	l->moved_ms = kf_now_ms();
	if (l->sent == l->frame->n)
		drop_frame(&l->frame);
	return (ssize_t)n;
}

static ssize_t read_events(void *ud, uint64_t at, char *out, size_t max)
{
	struct listener *l = ud;
	ssize_t n = 0;

	(void)at;
	pthread_mutex_lock(&l->live->lock);
	if (l->live->hushed || kf_now_ms() > l->began_ms + KF_LIVE_LIFE_MS) {
		n = MHD_CONTENT_READER_END_OF_STREAM;
	} else if (l->frame || begin_frame(l)) {
		n = copy_frame(l, out, max);
	} else { /* until there is a new one */
		l->suspended = 1;
		MHD_suspend_connection(l->connection);
	}
	pthread_mutex_unlock(&l->live->lock);
	return n;
}

/* The connection has ended, whoever ended it; its socket is open still. */
static void free_listener(void *ud)
{
	struct listener *l = ud;

	pthread_mutex_lock(&l->live->lock);
	drop_frame(&l->frame);
	*l->at = l->next;
	if (l->next)
		l->next->at = l->at;
	l->live->n--;
	pthread_mutex_unlock(&l->live->lock);
	free(l);
}

/* 1 and it is among the listeners; 0: there are enough. */
static int add_listener(struct kf_live *live, struct listener *l)
{
	int room;

	pthread_mutex_lock(&live->lock);
	room = !live->hushed && live->n < KF_LIVE_LISTENERS;
	if (room) {
		l->next = live->listeners;
		l->at = &live->listeners;
		if (l->next)
			l->next->at = &l->next;
		live->listeners = l;
		live->n++;
		live->nudged = 1;
		pthread_cond_signal(&live->wake);
	}
	pthread_mutex_unlock(&live->lock);
	return room;
}

static struct listener *new_listener(struct kf_live *live, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct listener *l = kf_calloc(1, sizeof(*l));
	int room = SEND_BYTES;

	if (!l)
		return NULL;
	l->live = live;
	l->connection = c;
	l->fd = info ? info->connect_fd : -1;
	l->began_ms = l->moved_ms = kf_now_ms();
	/* else the kernel would keep minutes of it for one who does not read */
	setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return l;
}

void kf_live_join(struct kf_live *live, const struct kf_http_request *request,
		  struct kf_http_answer *ret)
{
	static const char full[] = "too many listen already\n";
	struct listener *l = new_listener(live, request->connection);

	if (!l)
		return;
	if (!add_listener(live, l)) {
		free(l);
		ret->status = MHD_HTTP_SERVICE_UNAVAILABLE;
		ret->type = "text/plain; charset=utf-8";
		ret->body = kf_strdup(full);
		ret->n = sizeof(full) - 1;
		return;
	}
	ret->type = "text/event-stream";
	ret->response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES,
							  read_events, l, free_listener);
	if (!ret->response)
		free_listener(l);
}

/* --- the thread ---------------------------------------------------------------------------- */

/* Locked.  Who waits goes on; who has not moved for long is cut off: its reader sees an end, and
 * the server, which is told by the kernel, an error. */
static void wake_listeners(struct kf_live *live)
{
	uint64_t now = kf_now_ms();
	struct listener *l;

	for (l = live->listeners; l; l = l->next)
		if (l->suspended) {
			l->suspended = 0;
			l->moved_ms = now;
			MHD_resume_connection(l->connection);
		} else if (now > l->moved_ms + KF_LIVE_SLOW_MS && l->fd >= 0) {
			shutdown(l->fd, SHUT_RDWR);
		}
}

/* Locked, and unlocked while the text is made. */
static void make_one(struct kf_live *live)
{
	struct frame *f;

	live->nudged = 0;
	live->made_ms = kf_now_ms();
	pthread_mutex_unlock(&live->lock);
	f = make_frame(live);
	pthread_mutex_lock(&live->lock);
	if (f) {
		drop_frame(&live->frame);
		live->frame = f;
		live->number++;
	}
	wake_listeners(live);
}

/* Locked.  Until then, or until there is news. */
static void wait_until(struct kf_live *live, uint64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	pthread_cond_timedwait(&live->wake, &live->lock, &t);
}

static void *on_thread(void *ud)
{
	struct kf_live *live = ud;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	pthread_mutex_lock(&live->lock);
	while (!live->stop) {
		uint64_t due = live->made_ms + (live->nudged ? KF_LIVE_SOON_MS : KF_LIVE_TICK_MS);

		if (live->n == 0 || live->hushed) {
			drop_frame(&live->frame);
			pthread_cond_wait(&live->wake, &live->lock);
		} else if (kf_now_ms() < due) {
			wait_until(live, due);
		} else {
			make_one(live);
		}
	}
	pthread_mutex_unlock(&live->lock);
	return NULL;
}

static int start_thread(struct kf_live *live)
{
	pthread_attr_t attr;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	r = pthread_create(&live->thread, &attr, on_thread, live);
	pthread_attr_destroy(&attr);
	return r;
}

int kf_live_start(kf_live_maker *make, void *ud, struct kf_live **ret, struct kf_error *err)
{
	struct kf_live *live = kf_calloc(1, sizeof(*live));
	pthread_condattr_t attr;
	int r;

	if (!live)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the page");
	live->make = make;
	live->ud = ud;
	pthread_mutex_init(&live->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&live->wake, &attr);
	pthread_condattr_destroy(&attr);
	r = start_thread(live);
	if (r != 0) {
		free(live);
		return kf_fail_errno(err, r, "start a thread for the page");
	}
	*ret = live;
	return 0;
}

void kf_live_nudge(struct kf_live *live)
{
	pthread_mutex_lock(&live->lock);
	live->nudged = 1;
	if (live->n)
		pthread_cond_signal(&live->wake);
	pthread_mutex_unlock(&live->lock);
}

void kf_live_hush(struct kf_live *live, int on)
{
	pthread_mutex_lock(&live->lock);
	live->hushed = on;
	if (on)
		wake_listeners(live);
	pthread_mutex_unlock(&live->lock);
}

void kf_live_stop(struct kf_live *live)
{
	if (!live)
		return;
	pthread_mutex_lock(&live->lock);
	live->stop = 1;
	pthread_cond_signal(&live->wake);
	pthread_mutex_unlock(&live->lock);
	pthread_join(live->thread, NULL);
	drop_frame(&live->frame);
	pthread_mutex_destroy(&live->lock);
	pthread_cond_destroy(&live->wake);
	free(live);
}
