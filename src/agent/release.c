/* Letting go of the GPUs for a while; see release.h. */
#include "agent/release.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/internal.h"
#include "base/log.h"

int kf_agent_is_released(const struct kf_agent *a)
{
	return a->release.n > 0 || a->release.is_released;
}

static void on_told(uv_write_t *write, int status)
{
	(void)write, (void)status; /* a connection that has ended is noticed by reading */
}

static void tell(struct kf_agent *a)
{
	static char word[] = "released\n";
	uv_buf_t buf = uv_buf_init(word, sizeof(word) - 1);
	unsigned i;

	for (i = 0; i < KF_RELEASE_MAX && a->release.is_released; i++) {
		struct kf_releaser *w = &a->release.who[i];

		if (w->open && !w->told && !uv_is_closing((uv_handle_t *)&w->pipe))
			w->told =
				uv_write(&w->write, (uv_stream_t *)&w->pipe, &buf, 1, on_told) == 0;
	}
}

static void go_on(struct kf_agent *a)
{
	if (!a->release.is_released)
		return;
	a->release.is_released = 0;
	kf_log(KF_INFO, "agent", "nobody wants the GPUs left alone any more: reading them");
	kf_agent_metrics_go_on(a);
	kf_agent_read(a);
}

/* The driver's session is closed, the listener has ended and the sampler rests. */
static void on_closed_driver(struct kf_job *job)
{
	struct kf_agent *a = job->userdata;

	kf_job_free(job);
	a->job = NULL;
	if (a->stopping)
		return;
	a->release.is_released = 1;
	kf_log(KF_INFO, "agent", "the driver is closed until `kerf release` ends");
	tell(a);
	if (a->release.n == 0)
		go_on(a);
}

void kf_agent_release_now(struct kf_agent *a)
{
	if (a->release.n == 0 || a->release.is_released || a->job || a->stopping)
		return;
	a->job = kf_job_new(NULL, 0, &a->holds);
	if (!a->job) {
		kf_log(KF_ERROR, "agent", "no memory to let go of the GPUs");
		return;
	}
	a->job->close = 1;
	a->job->driver = &a->driver;
	a->job->done = on_closed_driver;
	a->job->userdata = a;
	kf_agent_launch_quietly(a);
}

/* --- who ask ------------------------------------------------------------------------------- */

static void on_gone(uv_handle_t *handle)
{
	struct kf_agent *a = handle->data;
	unsigned i;

	for (i = 0; i < KF_RELEASE_MAX; i++)
		if ((uv_handle_t *)&a->release.who[i].pipe == handle)
			a->release.who[i].open = 0;
	a->release.n--;
	if (a->release.n == 0 && !a->stopping)
		go_on(a);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	static char nothing[16]; /* what is said there is not listened to */

	(void)handle, (void)size;
	*buf = uv_buf_init(nothing, sizeof(nothing));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	if (n < 0 && !uv_is_closing((uv_handle_t *)stream))
		uv_close((uv_handle_t *)stream, on_gone);
}

static void on_connection(uv_stream_t *server, int status)
{
	struct kf_agent *a = server->data;
	struct kf_releaser *w = a->release.who;

	while (w < a->release.who + KF_RELEASE_MAX && w->open)
		w++;
	if (status < 0 || a->stopping || w == a->release.who + KF_RELEASE_MAX)
		return; /* one too many waits until there is room */
	*w = (struct kf_releaser){.open = 1};
	uv_pipe_init(&a->loop, &w->pipe, 0);
	w->pipe.data = a;
	a->release.n++;
	if (uv_accept(server, (uv_stream_t *)&w->pipe) < 0 ||
	    uv_read_start((uv_stream_t *)&w->pipe, on_alloc, on_read) < 0) {
		uv_close((uv_handle_t *)&w->pipe, on_gone);
		return;
	}
	tell(a);
	kf_agent_release_now(a);
}

int kf_agent_release_serve(struct kf_agent *a, struct kf_error *err)
{
	return kf_agent_open_socket(a, &a->release.server, KF_RELEASE_SOCKET, on_connection, err);
}
