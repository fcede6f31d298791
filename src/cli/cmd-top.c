/* kerf top: GPUs, slices, pods and what they use, in a terminal. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own.h"
#include "base/text.h"
#include "cli/local.h"
#include "cli/top.h"

#define EVERY_MS    1000
#define WITHOUT_TTY 120 /* columns */

#define SCREEN_ON  "\033[?1049h\033[?25l"
#define SCREEN_OFF "\033[?25h\033[?1049l"

/* The agent's words as JSON, or NULL after a sentence in *err. */
static json_t *ask(const struct kf_settings *set, struct kf_error *err)
{
	kf_auto_mem char *answer = kf_local_ask(set, "top.sock");
	json_t *json = answer && answer[0] ? json_loads(answer, 0, NULL) : NULL;
	const char *why = json_string_value(json_object_get(json, "error"));

	if (!json)
		kf_fail(err, KF_E_SYSTEM, 0,
			"no agent answers at %s/top.sock (is one running, and are you root?)",
			set->state_dir);
	else if (why)
		kf_fail(err, KF_E_SYSTEM, 0, "%s", why);
	if (!why)
		return json;
	json_decref(json);
	return NULL;
}

static unsigned columns_of(const struct winsize *size)
{
	const char *text = getenv("COLUMNS");
	uint64_t n;

	if (size->ws_col)
		return size->ws_col;
	return text && kf_parse_uint(text, 1000, &n) == 0 ? (unsigned)n : WITHOUT_TTY;
}

static int show_once(struct kf_local *l)
{
	struct winsize size = {0};
	struct kf_top_options opt = {.colours = kf_cli_colours(stdout)};
	struct kf_error err = {0};
	json_t *node = ask(l->set, &err);
	kf_auto_mem char *text = NULL;
	int status = KF_EXIT_OK;

	if (!node)
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	opt.columns = columns_of(&size);
	if (l->output && (!strcmp(l->output, "json") || !strcmp(l->output, "yaml"))) {
		text = json_dumps(node, JSON_INDENT(2));
		status = text ? kf_local_print(l, text) : KF_EXIT_FAILED;
	} else {
		text = kf_top_text(node, &opt);
		if (text)
			fputs(text, stdout);
	}
	json_decref(node);
	return text ? status : KF_EXIT_FAILED;
}

/* --- a screen ------------------------------------------------------------------------------ */

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

/* Answers to the terminal as it was; a window that changes its size just ends a wait. */
static int open_screen(struct termios *before)
{
	struct sigaction end = {.sa_handler = on_signal};
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, before) < 0)
		return -1;
	raw = *before;
	raw.c_lflag &= ~(unsigned)(ICANON | ECHO);
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGHUP, &end, NULL);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fputs(SCREEN_ON, stdout);
	return 0;
}

static void close_screen(const struct termios *before)
{
	fputs(SCREEN_OFF, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, before);
}

/* As many lines from `first` on as there are rows; the number of all lines. */
static unsigned draw(const char *text, unsigned first, unsigned rows)
{
	unsigned line = 0;

	fputs("\033[H", stdout);
	for (; *text; line++) {
		size_t n = strcspn(text, "\n");

		if (line >= first && line < first + rows)
			printf("%.*s\033[K%s", (int)n, text, line + 1 < first + rows ? "\r\n" : "");
		text += n + (text[n] == '\n');
	}
	fputs("\033[J", stdout);
	fflush(stdout);
	return line;
}

/* A key moves the first line that is shown; 0: it was one that ends. */
static int take_key(unsigned *first, unsigned rows, unsigned lines)
{
	char keys[16];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys) - 1);
	int by = 0;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	keys[n] = '\0';
	if (keys[0] == 'q' || keys[0] == 'Q' || keys[0] == 4)
		return 0;
	if (!strcmp(keys, "\033[A") || keys[0] == 'k')
		by = -1;
	else if (!strcmp(keys, "\033[B") || keys[0] == 'j')
		by = 1;
	else if (!strcmp(keys, "\033[5~"))
		by = -(int)rows;
	else if (!strcmp(keys, "\033[6~") || keys[0] == ' ')
		by = (int)rows;
	if (by < 0 && *first < (unsigned)-by)
		by = -(int)*first;
	*first += (unsigned)by;
	if (*first + rows > lines)
		*first = lines > rows ? lines - rows : 0;
	return 1;
}

/* What there is to see now; NULL: no memory. */
static char *picture(const struct kf_settings *set, const struct winsize *size)
{
	struct kf_top_options opt = {.columns = columns_of(size),
				     .colours = kf_cli_colours(stdout)};
	struct kf_error err = {0};
	json_t *node = ask(set, &err);
	char *text = node ? kf_top_text(node, &opt) : strdup(err.msg);

	json_decref(node);
	return text;
}

static int show_screen(const struct kf_settings *set)
{
	struct termios before;
	unsigned first = 0;

	if (open_screen(&before) < 0)
		return KF_EXIT_FAILED;
	while (!ended) {
		struct pollfd key = {.fd = STDIN_FILENO, .events = POLLIN};
		struct winsize size = {0};
		kf_auto_mem char *text = NULL;
		unsigned lines, rows;

		ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
		rows = size.ws_row ? size.ws_row : 24;
		text = picture(set, &size);
		if (!text)
			break;
		lines = draw(text, first, rows);
		if (poll(&key, 1, EVERY_MS) > 0 && !take_key(&first, rows, lines))
			break;
	}
	close_screen(&before);
	return KF_EXIT_OK;
}

static int take_once(int *argc, char **argv)
{
	int i, k, once = 0;

	for (i = k = 1; i < *argc; i++)
		if (!strcmp(argv[i], "--once"))
			once = 1;
		else
			argv[k++] = argv[i];
	*argc = k;
	argv[k] = NULL;
	return once;
}

static int run(int argc, char **argv)
{
	struct kf_local l = {0};
	int once = take_once(&argc, argv), status = kf_local_args(&l, argc, argv);

	once |= l.output || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO);
	if (status == KF_EXIT_OK)
		status = once ? show_once(&l) : show_screen(l.set);
	kf_local_done(&l);
	return status;
}

const struct kf_command kf_cmd_top = {
	.name = "top",
	.summary = "GPUs, slices and pods, and what they use, as it goes",
	.usage =
		"usage: kerf top [--once] [-o json|yaml] [--state-dir DIR]\n\n"
		"Asks the agent whose state lies in --state-dir, once a second; it has to measure\n"
		"(--metrics-listen).  Arrow keys and Page keys move, q ends.\n\n"
		"      --once                  print it once and end, as where there is no "
		"terminal\n"
		"  -o, --output json|yaml      the same for scripts (docs/page.md), once\n"
		"      --state-dir DIR         where the agent keeps its sockets (default "
		"/var/lib/kerf)\n",
	.run = run,
};
