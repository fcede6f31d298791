/*
 * kerf sim fault, xid, lose, process, busy, reset, reload...: what can happen to a machine.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/sim.h"
#include "core/op.h"
#include "mps/inject.h"

/* The options of all these commands; a number that was not given is UINT64_MAX. */
#define NUMBERS(X)                                                                                 \
	X(times, 1u << 30)                                                                         \
	X(from, 1u << 30)                                                                          \
	X(delay, 3600000)                                                                          \
	X(gi, 14)                                                                                  \
	X(ci, 7)                                                                                   \
	X(pid, 0x7FFFFFFF)                                                                         \
	X(memory, 16u << 20)                                                                       \
	X(sm, 100)                                                                                 \
	X(recovery, 99)                                                                            \
	X(remap, 3)                                                                                \
	X(fabric, 3)                                                                               \
	X(dram, 100)                                                                               \
	X(for, 1u << 30)

enum {
#define X(name, most) N_##name,
	NUMBERS(X)
#undef X
		N_NUMBERS
};

struct options {
	uint64_t number[N_NUMBERS];
	const char *gpu, *kind, *name;
	int clear, back;
	const char *word[4]; /* what is no option */
	int n_words;
};

#define GIVEN(o, name)		 (!!((o)->number[N_##name] != UINT64_MAX))
#define NUMBER(o, name, or_else) (GIVEN(o, name) ? (o)->number[N_##name] : (or_else))
#define INSTANCE(o, name)	 ((unsigned)NUMBER(o, name, KF_SIM_NONE))

static int number_option(struct options *o, const char *name, const char *value)
{
	static const struct {
		const char *name;
		uint64_t most;
	} known[] = {
#define X(name, most) {"--" #name, most},
		NUMBERS(X)
#undef X
	};
	unsigned i;

	for (i = 0; i < N_NUMBERS; i++)
		if (!strcmp(known[i].name, name))
			return value && kf_parse_uint(value, known[i].most, &o->number[i]) == 0
				       ? 1
				       : -1;
	return 0;
}

static int text_option(struct options *o, const char *name, const char *value)
{
	const char **to = !strcmp(name, "--gpu")    ? &o->gpu
			  : !strcmp(name, "--kind") ? &o->kind
			  : !strcmp(name, "--name") ? &o->name
						    : NULL;

	if (!to)
		return 0;
	*to = value;
	return value ? 1 : -1;
}

static int flag_option(struct options *o, const char *name)
{
	if (!strcmp(name, "--clear"))
		o->clear = 1;
	else if (!strcmp(name, "--back"))
		o->back = 1;
	else if (strcmp(name, "--hold") != 0) /* every process keeps its GPU open */
		return 0;
	return 1;
}

/* KF_EXIT_OK, or KF_EXIT_USAGE after a sentence. */
static int parse(int argc, char **argv, int words, struct options *o)
{
	char why[160];
	int i, r;

	memset(o, 0, sizeof(*o));
	memset(o->number, 0xFF, sizeof(o->number));
	for (i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (argv[i][0] != '-' || !argv[i][1]) {
			if (o->n_words == words)
				goto bad;
			o->word[o->n_words++] = argv[i];
			continue;
		}
		if (flag_option(o, argv[i]))
			continue;
		r = number_option(o, argv[i], value);
		if (r == 0)
			r = text_option(o, argv[i], value);
		if (r <= 0)
			goto bad;
		i++;
	}
	if (o->n_words >= 1)
		return KF_EXIT_OK;
	return kf_sim_usage("it wants DIR, the machine");
bad:
	snprintf(why, sizeof(why), "%s: '%.100s' is wrong here", argv[0], argv[i]);
	return kf_sim_usage(why);
}

/* Parse, open, find the GPU if there is one; then the sentence of what failed. */
static int begin(int argc, char **argv, int words, struct options *o, struct kf_sim *sim)
{
	int r = parse(argc, argv, words, o);

	return r == KF_EXIT_OK ? kf_sim_open_arg(o->word[0], sim) : r;
}

static int end(struct kf_sim *sim, int failed, const struct kf_error *err)
{
	kf_sim_close(sim);
	if (!failed)
		return KF_EXIT_OK;
	return kf_cli_fail(err, err->code == KF_E_INPUT ? KF_EXIT_USAGE : KF_EXIT_FAILED);
}

static int parse_fault(const struct options *o, struct kf_sim_fault *f, struct kf_error *err)
{
	const char *code = o->word[2];

	*f = (struct kf_sim_fault){
		.from = NUMBER(o, from, 1),
		.times = NUMBER(o, times, 0),
		.delay_ms = (uint32_t)NUMBER(o, delay, 0),
	};
	if (!code && GIVEN(o, delay))
		return 0;
	if (!code)
		return kf_fail(err, KF_E_INPUT, 0, "fault wants a CODE, --delay or --clear");
	if (!strcmp(code, "kill") || !strcmp(code, "kill-after")) {
		f->kill = code[4] ? 2 : 1;
		return 0;
	}
	return kf_sim_parse_code(code, &f->code, err);
}

int kf_sim_cmd_fault(int argc, char **argv)
{
	struct kf_error err = {0};
	struct kf_sim_fault f;
	struct options o;
	struct kf_sim sim;
	int r = begin(argc, argv, 3, &o, &sim);

	if (r != KF_EXIT_OK)
		return r;
	if (o.n_words < 2)
		r = kf_fail(&err, KF_E_INPUT, 0, "fault wants DIR and CALL");
	else if (o.clear)
		r = kf_sim_clear_fault(&sim, o.word[1], &err);
	else
		r = parse_fault(&o, &f, &err) < 0 ? -1
						  : kf_sim_set_fault(&sim, o.word[1], &f, &err);
	return end(&sim, r < 0, &err);
}

int kf_sim_cmd_xid(int argc, char **argv)
{
	struct kf_error err = {0};
	struct options o;
	struct kf_sim sim;
	unsigned gpu;
	uint64_t xid, i;
	int r = begin(argc, argv, 3, &o, &sim);

	if (r != KF_EXIT_OK)
		return r;
	if (o.n_words < 3 || kf_parse_uint(o.word[2], 999, &xid) < 0)
		r = kf_fail(&err, KF_E_INPUT, 0, "xid wants DIR, GPU and the number of the error");
	else if (kf_sim_parse_gpu(&sim, o.word[1], &gpu, &err) < 0)
		r = -1;
	for (i = 0; r == 0 && i < NUMBER(&o, times, 1); i++)
		r = kf_sim_xid(&sim, gpu, (unsigned)xid, INSTANCE(&o, gi), INSTANCE(&o, ci), &err);
	return end(&sim, r < 0, &err);
}

int kf_sim_cmd_lose(int argc, char **argv)
{
	struct kf_error err = {0};
	struct options o;
	struct kf_sim sim;
	unsigned gpu;
	int r = begin(argc, argv, 2, &o, &sim);

	if (r != KF_EXIT_OK)
		return r;
	if (o.n_words < 2)
		r = kf_fail(&err, KF_E_INPUT, 0, "lose wants DIR and GPU");
	else if (kf_sim_parse_gpu(&sim, o.word[1], &gpu, &err) < 0)
		r = -1;
	else
		r = kf_sim_lose(&sim, gpu, o.back, &err);
	return end(&sim, r < 0, &err);
}

int kf_sim_cmd_ail(int argc, char **argv)
{
	struct kf_error err = {0};
	struct options o;
	struct kf_sim sim;
	unsigned gpu;
	int r = begin(argc, argv, 2, &o, &sim);

	if (r != KF_EXIT_OK)
		return r;
	if (o.n_words < 2 || !(GIVEN(&o, recovery) || GIVEN(&o, remap) || GIVEN(&o, fabric)))
		r = kf_fail(&err, KF_E_INPUT, 0,
			    "ail wants DIR, GPU and --recovery, --remap or --fabric");
	else
		r = kf_sim_parse_gpu(&sim, o.word[1], &gpu, &err);
	if (r == 0)
		kf_sim_ail(&sim, gpu, INSTANCE(&o, recovery), INSTANCE(&o, remap),
			   INSTANCE(&o, fabric));
	return end(&sim, r < 0, &err);
}

static int parse_kind(const char *text, uint32_t *ret, struct kf_error *err)
{
	for (*ret = 0; text && *ret < KF_SIM_KINDS; ++*ret)
		if (!strcmp(kf_sim_kind_name(*ret), text))
			return 0;
	if (text)
		return kf_fail(err, KF_E_INPUT, 0, "no kind of process is called '%s'", text);
	return 0;
}

/* What --gpu, --gi and so on say; `pid` if there is no --pid. */
static int parse_process(const struct kf_sim *sim, const struct options *o, unsigned pid,
			 struct kf_sim_process *p, struct kf_error *err)
{
	*p = (struct kf_sim_process){
		.pid = (uint32_t)NUMBER(o, pid, pid),
		.gi = INSTANCE(o, gi),
		.ci = INSTANCE(o, ci),
		.client = KF_SIM_NONE,
		.memory_mib = (uint32_t)NUMBER(o, memory, 0),
		.sm = (uint32_t)NUMBER(o, sm, 0),
		.dram = (uint32_t)NUMBER(o, dram, 0),
	};
	if (!o->gpu || !p->pid)
		return kf_fail(err, KF_E_INPUT, 0, "a process wants --gpu and --pid");
	if (p->gi != KF_SIM_NONE && p->ci == KF_SIM_NONE)
		p->ci = 0;
	snprintf(p->name, sizeof(p->name), "%s", o->name ? o->name : "simulated");
	if (parse_kind(o->kind, &p->kind, err) < 0)
		return -1;
	return kf_sim_parse_gpu(sim, o->gpu, &p->gpu, err);
}

static int remove_process(struct kf_sim *sim, const struct options *o, struct kf_error *err)
{
	unsigned gpu = KF_SIM_NONE;

	if (o->gpu && kf_sim_parse_gpu(sim, o->gpu, &gpu, err) < 0)
		return -1;
	return kf_sim_take_process(sim, (unsigned)NUMBER(o, pid, 0), gpu, INSTANCE(o, gi),
				   INSTANCE(o, ci), err);
}

int kf_sim_cmd_process(int argc, char **argv)
{
	struct kf_error err = {0};
	struct kf_sim_process p;
	struct options o;
	struct kf_sim sim;
	int r = begin(argc, argv, 2, &o, &sim);

	if (r != KF_EXIT_OK)
		return r;
	if (o.n_words == 2 && !strcmp(o.word[1], "add"))
		r = parse_process(&sim, &o, 0, &p, &err) < 0 ? -1
							     : kf_sim_put_process(&sim, &p, &err);
	else if (o.n_words == 2 && !strcmp(o.word[1], "remove"))
		r = remove_process(&sim, &o, &err);
	else if (o.n_words == 2 && !strcmp(o.word[1], "load"))
		r = kf_sim_load_process(&sim, (unsigned)NUMBER(&o, pid, 0),
					(unsigned)NUMBER(&o, sm, 0), &err);
	else
		r = kf_fail(&err, KF_E_INPUT, 0, "process wants DIR and add, remove or load");
	return end(&sim, r < 0, &err);
}

/* What a word behind `kerf sim mps DIR` does: 0 or -1. */
static int mps(struct kf_sim *sim, const struct options *o, struct kf_error *err)
{
	const char *what = o->word[1] ? o->word[1] : "", *of = o->word[2];
	unsigned gpu;
	uint64_t most;

	if (!strcmp(what, "clients") && of && kf_parse_uint(of, 1000, &most) == 0) {
		kf_sim_mps_clients(sim, (unsigned)most);
		return 0;
	}
	if (!of || (strcmp(what, "fault") != 0 && strcmp(what, "hang") != 0))
		return kf_fail(err, KF_E_INPUT, 0,
			       "mps wants DIR and fault GPU, hang GPU or clients MOST");
	if (kf_sim_parse_gpu(sim, of, &gpu, err) < 0)
		return -1;
	if (!strcmp(what, "fault"))
		return kf_sim_mps_fault(sim, gpu, INSTANCE(o, gi), INSTANCE(o, ci), err);
	return kf_sim_mps_hang(sim, gpu, INSTANCE(o, gi), INSTANCE(o, ci), o->back, err);
}

int kf_sim_cmd_mps(int argc, char **argv)
{
	struct kf_error err = {0};
	struct options o;
	struct kf_sim sim;
	int r = begin(argc, argv, 3, &o, &sim);

	if (r != KF_EXIT_OK)
		return r;
	return end(&sim, mps(&sim, &o, &err) < 0, &err);
}

/* Until a signal comes, or for so many seconds. */
static void wait_out(uint64_t seconds)
{
	struct timespec limit = {.tv_sec = (time_t)seconds};
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	sigtimedwait(&signals, NULL, seconds ? &limit : NULL);
}

/* A client that works until it is ended, however that happens. */
int kf_sim_cmd_busy(int argc, char **argv)
{
	struct kf_error err = {0};
	struct kf_sim_process p;
	struct options o;
	struct kf_sim sim;
	int r = begin(argc, argv, 2, &o, &sim);

	if (r != KF_EXIT_OK)
		return r;
	if (o.n_words == 2)
		o.gpu = o.word[1];
	r = parse_process(&sim, &o, (unsigned)getpid(), &p, &err);
	if (r == 0) {
		kf_sim_lock(sim.state);
		kf_sim_client_add(&sim);
		kf_sim_unlock(sim.state);
		p.client = sim.client;
		p.sm = (uint32_t)NUMBER(&o, sm, 100);
		r = kf_sim_put_process(&sim, &p, &err);
	}
	if (r == 0) {
		printf("process %u is on gpu %u\n", p.pid, p.gpu);
		fflush(stdout);
		wait_out(NUMBER(&o, for, 0));
	}
	return end(&sim, r < 0, &err);
}

int kf_sim_cmd_reset(int argc, char **argv)
{
	struct kf_error err = {0};
	struct options o;
	struct kf_sim sim;
	unsigned gpu;
	int r = begin(argc, argv, 2, &o, &sim);

	if (r != KF_EXIT_OK)
		return r;
	if (o.n_words < 2)
		r = kf_fail(&err, KF_E_INPUT, 0, "reset wants DIR and GPU");
	else if (kf_sim_parse_gpu(&sim, o.word[1], &gpu, &err) < 0)
		r = -1;
	else
		r = kf_sim_reset(&sim, gpu, &err);
	return end(&sim, r < 0, &err);
}

int kf_sim_cmd_driver(int argc, char **argv)
{
	struct kf_error err = {0};
	struct options o;
	struct kf_sim sim;
	int r = begin(argc, argv, 1, &o, &sim);

	if (r != KF_EXIT_OK)
		return r;
	if (!strcmp(argv[0], "unload"))
		kf_sim_unload(&sim);
	else if (!strcmp(argv[0], "load"))
		kf_sim_load_driver(&sim);
	else if (!strcmp(argv[0], "reload"))
		kf_sim_reload(&sim);
	else
		kf_sim_reboot(&sim);
	return end(&sim, 0, &err);
}
