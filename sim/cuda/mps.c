/* A client of MPS; what passes is in mps/wire.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cuda/library.h"
#include "mps/limit.h"
#include "mps/socket.h"
#include "mps/wire.h"

/* What CUDA_MPS_PIPE_DIRECTORY said at cuInit counts for later contexts, too. */
static struct sockaddr_un control_at = {.sun_family = AF_UNIX};

static int find_control(void)
{
	const char *dir = getenv("CUDA_MPS_PIPE_DIRECTORY");

	if (!dir || !*dir)
		dir = KF_MPS_DEFAULT_PIPE;
	return (size_t)snprintf(control_at.sun_path, sizeof(control_at.sun_path),
				"%s/" KF_MPS_SOCKET, dir) < sizeof(control_at.sun_path)
		       ? 0
		       : -1;
}

/* The control daemon's socket; -1: nobody listens there, or this program may not ask. */
static int call_control(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&control_at, sizeof(control_at)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The greeting; -1: whoever is there is no daemon. */
static int be_greeted(int control)
{
	char word[sizeof(KF_MPS_HELL)];

	return kf_mps_hear(control, word, sizeof(word), 0, NULL) == sizeof(word) &&
			       !memcmp(word, KF_MPS_HELL, sizeof(word))
		       ? 0
		       : -1;
}

void kf_cuda_mps_close(struct channel *c)
{
	unsigned i;

	for (i = 0; i < KF_MPS_PIPES; i++) {
		kf_closep(&c->pipe[i]);
		c->pipe[i] = -1;
	}
	kf_closep(&c->socket);
	c->socket = -1;
}

/* A word with the descriptor that comes along, or -1. */
static int be_passed(int fd)
{
	struct kf_mps_along along;
	char word[sizeof(KF_MPS_CUFD)];

	if (kf_mps_hear(fd, word, sizeof(word), 0, &along) == sizeof(word) &&
	    !memcmp(word, KF_MPS_CUFD, sizeof(word)))
		return along.passed;
	if (along.passed >= 0)
		close(along.passed);
	return -1;
}

/* The daemon's part, up to the socket to the server. */
static int be_introduced(int control)
{
	const uint32_t caller = KF_MPS_CLIENT;

	if (be_greeted(control) < 0 ||
	    kf_mps_say(control, KF_MPS_CRED, sizeof(KF_MPS_CRED), -1) < 0 ||
	    kf_mps_say(control, &caller, sizeof(caller), -1) < 0)
		return -1;
	return be_passed(control);
}

/* The server's part: four pipes, three words of ours, its verdict (a CUresult); -1: it is gone. */
static int64_t be_judged(struct channel *c, uint32_t context, uint32_t device)
{
	uint32_t verdict;
	unsigned i;
	char zero;

	for (i = 0; i < KF_MPS_PIPES; i++) {
		c->pipe[i] = be_passed(c->socket);
		if (c->pipe[i] < 0)
			return -1;
	}
	if (kf_mps_hear(c->socket, &zero, sizeof(zero), 0, NULL) != sizeof(zero) ||
	    kf_mps_say(c->socket, KF_MPS_CRED, sizeof(KF_MPS_CRED), -1) < 0 ||
	    kf_mps_say(c->socket, &context, sizeof(context), -1) < 0 ||
	    kf_mps_say(c->socket, &device, sizeof(device), -1) < 0 ||
	    kf_mps_hear(c->socket, &verdict, sizeof(verdict), 0, NULL) != sizeof(verdict))
		return -1;
	return verdict;
}

/* Through the control daemon to the server, for the process (context 0) or one of its contexts. */
static CUresult open_channel(uint32_t context, uint32_t device, struct channel *ret)
{
	kf_auto_fd int control = call_control();
	const uint32_t got = 0;
	int64_t verdict = -1;

	*ret = (struct channel){-1, {-1, -1, -1, -1}};
	if (control >= 0)
		ret->socket = be_introduced(control);
	if (ret->socket >= 0)
		verdict = be_judged(ret, context, device);
	if (verdict >= 0)
		kf_mps_say(control, &got, sizeof(got), -1);
	if (verdict)
		kf_cuda_mps_close(ret);
	return verdict < 0 ? CUDA_ERROR_MPS_CONNECTION_FAILED : (CUresult)verdict;
}

/* Is there a daemon?  A connection of its own, closed behind the greeting. */
static int is_there(void)
{
	kf_auto_fd int control = call_control();

	return control >= 0 && be_greeted(control) == 0;
}

/* A pipe whose reader is gone is an error and no signal. */
static int put(const struct kf_mps_message *m)
{
	const struct timespec now = {0};
	sigset_t broken, before;
	ssize_t n;

	sigemptyset(&broken);
	sigaddset(&broken, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &broken, &before);
	n = write(kf_cuda.process.pipe[KF_MPS_TO_SERVER], m, sizeof(*m));
	if (n < 0 && errno == EPIPE && !sigismember(&before, SIGPIPE))
		sigtimedwait(&broken, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return n == sizeof(*m) ? 0 : -1;
}

/* What it may have, and who it is: through the pipes. */
static CUresult be_welcomed(struct kf_mps_message *m)
{
	const struct kf_mps_message hello = {.verb = KF_MPS_HELLO, .slot = kf_cuda.sim.client};

	if (put(&hello) < 0 ||
	    read(kf_cuda.process.pipe[KF_MPS_FROM_SERVER], m, sizeof(*m)) != sizeof(*m) ||
	    m->verb != KF_MPS_WELCOME || m->n > KF_MPS_DEVICES)
		return CUDA_ERROR_MPS_RPC_FAILURE;
	return CUDA_SUCCESS;
}

CUresult kf_cuda_mps_connect(struct kf_sim_spots *ret, struct device *limits)
{
	struct kf_mps_message m;
	unsigned i;

	if (find_control() < 0 || !is_there())
		return CUDA_SUCCESS;
	TRY(open_channel(0, KF_MPS_NO_DEVICE, &kf_cuda.process));
	TRY(be_welcomed(&m));
	kf_cuda.server = 1;
	ret->n = m.n;
	for (i = 0; i < m.n; i++) {
		ret->at[i] = (struct kf_sim_spot){m.device[i].gpu, m.device[i].gi, m.device[i].ci};
		limits[i].percent_x10 = m.device[i].percent_x10;
		limits[i].limit_bytes = m.device[i].memory_bytes;
	}
	return CUDA_SUCCESS;
}

CUresult kf_cuda_mps_context(int device, struct channel *ret)
{
	static uint32_t contexts;

	*ret = (struct channel){-1, {-1, -1, -1, -1}};
	return kf_cuda.server ? open_channel(++contexts, (uint32_t)device, ret) : CUDA_SUCCESS;
}

/* Is there a word of the server's in the pipe, or its end? */
static int has_word(int timeout_ms)
{
	struct pollfd p = {.fd = kf_cuda.process.pipe[KF_MPS_FROM_SERVER], .events = POLLIN};

	return poll(&p, 1, timeout_ms) > 0;
}

void kf_cuda_mps_listen(void)
{
	struct kf_mps_message m;

	if (!kf_cuda.server || kf_cuda.broken || !has_word(0))
		return;
	if (read(kf_cuda.process.pipe[KF_MPS_FROM_SERVER], &m, sizeof(m)) != sizeof(m))
		kf_cuda.broken = CUDA_ERROR_MPS_RPC_FAILURE;
	else if (m.verb == KF_MPS_TERMINATED)
		kf_cuda.broken = CUDA_ERROR_MPS_CLIENT_TERMINATED;
	else if (m.verb == KF_MPS_FAULT)
		kf_cuda.broken = (CUresult)m.result;
}

void kf_cuda_mps_wait(int timeout_ms)
{
	has_word(timeout_ms);
}

void kf_cuda_mps_fault(unsigned device)
{
	const struct kf_sim_spot *at = &kf_cuda.device[device].spot;
	struct kf_mps_message m = {
		.verb = KF_MPS_FAULT,
		.result = CUDA_ERROR_ILLEGAL_ADDRESS,
		.n = 1,
		.device = {{.gpu = at->gpu, .gi = at->gi, .ci = at->ci}},
	};

	if (put(&m) < 0)
		kf_cuda.broken = CUDA_ERROR_MPS_RPC_FAILURE;
}

/* Which of the program's devices an entry "DEVICE=VALUE" names, or -1; its value. */
static int entry(char *one, uint64_t *ret)
{
	struct kf_mps_limit l = {.bytes = 0};
	char *value = strchr(one, '=');
	int i;

	if (!value)
		return -1;
	*value++ = '\0';
	*ret = kf_mps_bytes_read(value);
	snprintf(l.device, sizeof(l.device), "%s", one);
	for (i = 0; i < kf_cuda.n_devices; i++)
		if (kf_mps_limit_is_of(kf_cuda.sim.state, &l, &kf_cuda.device[i].spot, (unsigned)i))
			return i;
	return -1;
}

/*
 * A limit of its own can only be lower; but 0 is none, and an entry that names a device which the
 * program does not have drops all limits, the server's with them (measured: `0=0`, `0=4G,1=4G` with
 * one GPU, `bogus`).
 */
static void own_memory_limits(const char *text)
{
	char copy[2048], *rest = NULL, *one;
	uint64_t bytes;
	int i;

	snprintf(copy, sizeof(copy), "%s", text);
	for (one = strtok_r(copy, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
		i = entry(one, &bytes);
		if (i < 0)
			break;
		if (!bytes || !kf_cuda.device[i].limit_bytes ||
		    bytes < kf_cuda.device[i].limit_bytes)
			kf_cuda.device[i].limit_bytes = bytes;
	}
	for (i = 0; one && i < kf_cuda.n_devices; i++)
		kf_cuda.device[i].limit_bytes = 0;
}

/* A share that is no number from 0 to 100 is ignored (measured: `x`). */
static void own_share(const char *text)
{
	unsigned percent_x10;
	int i;

	if (kf_mps_percent_parse(text, &percent_x10) < 0)
		return;
	for (i = 0; i < kf_cuda.n_devices; i++)
		if (percent_x10 < kf_cuda.device[i].percent_x10)
			kf_cuda.device[i].percent_x10 = percent_x10;
}

void kf_cuda_mps_environment(void)
{
	const char *memory = getenv("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT");
	const char *share = getenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE");
	const char *each = getenv("CUDA_MPS_ENABLE_PER_CTX_DEVICE_MULTIPROCESSOR_PARTITIONING");

	if (memory) {
		kf_sim_lock(kf_cuda.sim.state);
		own_memory_limits(memory);
		kf_sim_unlock(kf_cuda.sim.state);
	}
	if (share)
		own_share(share);
	kf_cuda.per_context = each && !strcmp(each, "1");
}
