/* The shared state of a simulated machine; see state.h. */
#include "core/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own.h"
#include "nvml/abi.h"

/* Where the clients' lock bytes lie: far behind the file's end, which locks may. */
#define LOCK_BASE (1ll << 40)
#define PID_BASE  (1ll << 41)

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t kf_sim_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

uint64_t kf_sim_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

static int init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;
	int r;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	r = pthread_mutex_init(lock, &attr);
	pthread_mutexattr_destroy(&attr);
	return r;
}

/* As a machine is when its driver was just loaded: no instances; Ampere's mode is kept by others.
 */
static void fill(struct kf_sim_state *s, const struct kf_sim_machine *machine)
{
	unsigned i;

	s->layout = KF_SIM_LAYOUT;
	s->size = sizeof(*s);
	s->loaded = 1;
	s->epoch = 1;
	s->boot_us = kf_sim_us();
	s->machine = *machine;
	for (i = 0; i < machine->n_gpus; i++) {
		struct kf_sim_now *now = &s->gpu[i].now[0];

		now->persistence = 1;
		now->power_limit_mw = machine->product[machine->gpu[i].product].limit_mw;
	}
	init_lock(&s->lock);
	__atomic_store_n(&s->magic, KF_SIM_MAGIC, __ATOMIC_RELEASE);
}

int kf_sim_state_create(const char *dir, const struct kf_sim_machine *machine, struct kf_error *err)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	struct kf_sim_state *s;
	kf_auto_fd int fd = -1;

	snprintf(path, sizeof(path), "%s/state", dir);
	snprintf(temporary, sizeof(temporary), "%s/state.tmp", dir);
	fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return kf_fail_errno(err, errno, "open %s", temporary);
	/* everybody may ask the driver, so everybody may write here, whatever the umask */
	if (fchmod(fd, 0666) < 0 || ftruncate(fd, sizeof(*s)) < 0)
		return kf_fail_errno(err, errno, "size %s", temporary);
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED)
		return kf_fail_errno(err, errno, "map %s", temporary);
	fill(s, machine);
	munmap(s, sizeof(*s));
	if (rename(temporary, path) < 0)
		return kf_fail_errno(err, errno, "rename %s to %s", temporary, path);
	return 0;
}

static int map(struct kf_sim *sim, const char *path, struct kf_error *err)
{
	struct stat st;
	void *s;

	sim->fd = open(path, O_RDWR | O_CLOEXEC);
	if (sim->fd < 0) {
		int missing = errno == ENOENT || errno == ENOTDIR;

		kf_fail_errno(err, errno, "open the simulated machine %s", path);
		return missing ? KF_SIM_NO_MACHINE : -1;
	}
	if (fstat(sim->fd, &st) < 0)
		return kf_fail_errno(err, errno, "stat %s", path);
	if (st.st_size != sizeof(struct kf_sim_state)) {
		kf_fail(err, KF_E_STATE, 0, "%s is of another version of the simulator", path);
		return KF_SIM_FOREIGN;
	}
	s = mmap(NULL, sizeof(struct kf_sim_state), PROT_READ | PROT_WRITE, MAP_SHARED, sim->fd, 0);
	if (s == MAP_FAILED)
		return kf_fail_errno(err, errno, "map %s", path);
	sim->state = s;
	sim->privileged = geteuid() == 0 || geteuid() == st.st_uid;
	return 0;
}

int kf_sim_open(const char *dir, struct kf_sim *sim, struct kf_error *err)
{
	char path[PATH_MAX];
	int r;

	memset(sim, 0, sizeof(*sim));
	sim->fd = -1;
	sim->client = KF_SIM_NONE;
	snprintf(sim->dir, sizeof(sim->dir), "%s", dir);
	snprintf(path, sizeof(path), "%s/state", dir);
	r = map(sim, path, err);
	if (r == 0 && (sim->state->magic != KF_SIM_MAGIC || sim->state->layout != KF_SIM_LAYOUT)) {
		kf_fail(err, KF_E_STATE, 0, "%s is of another version of the simulator", path);
		r = KF_SIM_FOREIGN;
	}
	if (r != 0)
		kf_sim_close(sim);
	return r;
}

void kf_sim_close(struct kf_sim *sim)
{
	if (sim->state) {
		if (sim->client != KF_SIM_NONE) {
			kf_sim_lock(sim->state);
			kf_sim_client_drop(sim);
			kf_sim_unlock(sim->state);
		}
		munmap(sim->state, sizeof(*sim->state));
	}
	if (sim->fd >= 0)
		close(sim->fd);
	sim->state = NULL;
	sim->fd = -1;
}

void kf_sim_lock(struct kf_sim_state *s)
{
	if (pthread_mutex_lock(&s->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&s->lock);
}

void kf_sim_unlock(struct kf_sim_state *s)
{
	pthread_mutex_unlock(&s->lock);
}

struct kf_sim_now *kf_sim_now(struct kf_sim_state *s, unsigned gpu)
{
	return &s->gpu[gpu].now[s->gpu[gpu].active & 1];
}

struct kf_sim_now *kf_sim_begin(struct kf_sim_state *s, unsigned gpu)
{
	struct kf_sim_now *spare = &s->gpu[gpu].now[(s->gpu[gpu].active & 1) ^ 1];

	*spare = *kf_sim_now(s, gpu);
	return spare;
}

void kf_sim_commit(struct kf_sim_state *s, unsigned gpu)
{
	uint32_t *active = &s->gpu[gpu].active;

	__atomic_store_n(active, (*active & 1) ^ 1, __ATOMIC_RELEASE);
}

static int lock_byte(int fd, int command, long long at, struct flock *ret)
{
	struct flock l = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = at,
		.l_len = 1,
	};
	int r = fcntl(fd, command, &l);

	if (ret)
		*ret = l;
	return r;
}

void kf_sim_client_add(struct kf_sim *sim)
{
	struct kf_sim_state *s = sim->state;
	unsigned i;

	for (i = 0; i < KF_SIM_CLIENTS; i++) {
		struct kf_sim_client *c = &s->client[i];

		if (c->used && kf_sim_client_lives(sim, i))
			continue;
		if (lock_byte(sim->fd, F_OFD_SETLK, LOCK_BASE + i, NULL) < 0)
			continue;
		lock_byte(sim->fd, F_SETLK, PID_BASE + i, NULL);
		memset(c->holds, 0, sizeof(c->holds));
		c->pid = (uint32_t)getpid();
		__atomic_store_n(&c->used, 1, __ATOMIC_RELEASE);
		sim->client = i;
		return;
	}
}

void kf_sim_client_drop(struct kf_sim *sim)
{
	struct flock l = {
		.l_type = F_UNLCK,
		.l_whence = SEEK_SET,
		.l_start = LOCK_BASE + sim->client,
		.l_len = 1,
	};

	if (sim->client == KF_SIM_NONE)
		return;
	__atomic_store_n(&sim->state->client[sim->client].used, 0, __ATOMIC_RELEASE);
	fcntl(sim->fd, F_OFD_SETLK, &l);
	l.l_start = PID_BASE + sim->client;
	fcntl(sim->fd, F_SETLK, &l);
	sim->client = KF_SIM_NONE;
}

int kf_sim_client_lives(struct kf_sim *sim, unsigned slot)
{
	struct kf_sim_client *c = &sim->state->client[slot];
	struct flock l;

	if (!c->used)
		return 0;
	if (slot == sim->client)
		return 1;
	if (lock_byte(sim->fd, F_OFD_GETLK, LOCK_BASE + slot, &l) == 0 && l.l_type != F_UNLCK)
		return 1;
	c->used = 0;
	return 0;
}

/*
 * The lock goes early, with the first close of the file by whichever library of the program; then
 * the pid that the program gave is all there is.
 */
unsigned kf_sim_client_pid(struct kf_sim *sim, unsigned slot)
{
	struct flock l;

	if (slot != sim->client && lock_byte(sim->fd, F_GETLK, PID_BASE + slot, &l) == 0 &&
	    l.l_type != F_UNLCK && l.l_pid > 0)
		return (unsigned)l.l_pid;
	return sim->state->client[slot].pid;
}

unsigned kf_sim_other_client(struct kf_sim *sim)
{
	unsigned i;

	for (i = 0; i < KF_SIM_CLIENTS; i++)
		if (i != sim->client && kf_sim_client_lives(sim, i))
			return kf_sim_client_pid(sim, i);
	return 0;
}

unsigned kf_sim_other_holder(struct kf_sim *sim, unsigned gpu, unsigned gi, unsigned ci)
{
	unsigned i;

	for (i = 0; i < KF_SIM_CLIENTS; i++) {
		const struct kf_sim_client *c = &sim->state->client[i];

		if (i != sim->client && c->used && (c->holds[gpu][gi] >> ci & 1) &&
		    kf_sim_client_lives(sim, i))
			return kf_sim_client_pid(sim, i);
	}
	return 0;
}

const char *kf_sim_kind_name(unsigned kind)
{
	static const char *const names[KF_SIM_KINDS] = {"compute", "graphics", "mps", "holder",
							"mps-server"};

	return kind < KF_SIM_KINDS ? names[kind] : NULL;
}

unsigned kf_sim_process_pid(struct kf_sim *sim, const struct kf_sim_process *p)
{
	if (p->client == KF_SIM_NONE || sim->state->client[p->client].pid != p->pid)
		return p->pid;
	return kf_sim_client_pid(sim, p->client);
}

const struct kf_sim_process *kf_sim_process_at(struct kf_sim *sim, unsigned i)
{
	const struct kf_sim_process *p = &sim->state->process[i];

	if (!p->used)
		return NULL;
	if (p->client != KF_SIM_NONE && !kf_sim_client_lives(sim, p->client)) {
		kf_sim_process_remove(sim, i);
		return NULL;
	}
	return p;
}

int kf_sim_process_add(struct kf_sim *sim, const struct kf_sim_process *p)
{
	unsigned i;

	for (i = 0; i < KF_SIM_PROCESSES; i++) {
		struct kf_sim_process *slot = &sim->state->process[i];

		if (kf_sim_process_at(sim, i))
			continue;
		*slot = *p;
		slot->used = 0;
		slot->busy = p->busy ? p->busy : p->sm;
		slot->since_us = kf_sim_us();
		if (i >= sim->state->process_end)
			sim->state->process_end = i + 1;
		__atomic_store_n(&slot->used, 1, __ATOMIC_RELEASE);
		return 0;
	}
	return -1;
}

/*
 * What it did stays in the GPU's sums, which performance samples read.  Those are changed in place:
 * to lose or count twice what one process did is no harm, and callers keep their pointers.
 */
static void settle(struct kf_sim_state *s, struct kf_sim_process *p)
{
	struct kf_sim_now *now = kf_sim_now(s, p->gpu);
	unsigned at = p->gi < KF_MAX_INSTANCES ? p->gi : KF_MAX_INSTANCES;
	uint64_t until = kf_sim_us(), ran = until - p->since_us;

	now->sm_done[at] += p->sm * ran;
	now->dram_done[at] += p->dram * ran;
	p->since_us = until;
}

void kf_sim_process_remove(struct kf_sim *sim, unsigned i)
{
	struct kf_sim_process *p = &sim->state->process[i];

	settle(sim->state, p);
	__atomic_store_n(&p->used, 0, __ATOMIC_RELEASE);
}

void kf_sim_process_load(struct kf_sim *sim, unsigned i, unsigned sm, unsigned busy)
{
	struct kf_sim_process *p = &sim->state->process[i];

	settle(sim->state, p);
	p->sm = sm;
	p->busy = busy;
}

unsigned kf_sim_process_on(struct kf_sim *sim, unsigned gpu, unsigned gi, unsigned ci)
{
	unsigned i;

	for (i = 0; i < sim->state->process_end; i++) {
		const struct kf_sim_process *p = &sim->state->process[i];

		if (!p->used || p->gpu != gpu || (gi != KF_SIM_NONE && p->gi != gi) ||
		    (ci != KF_SIM_NONE && p->ci != ci))
			continue;
		if (kf_sim_process_at(sim, i))
			return kf_sim_process_pid(sim, p);
	}
	return 0;
}

void kf_sim_event_push(struct kf_sim_state *s, const struct kf_sim_event *e)
{
	s->events[s->event % KF_SIM_EVENTS] = *e;
	__atomic_store_n(&s->event, s->event + 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &s->event, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void kf_sim_xid_push(struct kf_sim_state *s, unsigned gpu, unsigned xid, unsigned gi, unsigned ci)
{
	kf_sim_begin(s, gpu)->xids++;
	kf_sim_commit(s, gpu);
	kf_sim_event_push(s, &(struct kf_sim_event){NVML_EVENT_TYPE_XID, xid, gpu, gi, ci});
}
