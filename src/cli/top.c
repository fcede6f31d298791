/* The node as lines for a terminal; see top.h. */
#include "cli/top.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

#define LEAST_COLUMNS 40
#define WAITS	      8
#define EVENTS	      10

#define PLAIN "\033[0m"
#define BOLD  "\033[1m"
#define DIM   "\033[2m"
#define RED   "\033[31m"
#define GREEN "\033[32m"
#define BLUE  "\033[34m"

struct top {
	struct kf_text t;
	const struct kf_top_options *opt;
	unsigned columns;
};

/* --- values -------------------------------------------------------------------------------- */

static const char *text_of(json_t *json, const char *key)
{
	const char *s = json_string_value(json_object_get(json, key));

	return s ? s : "";
}

static unsigned uint_of(json_t *json, const char *key)
{
	return (unsigned)json_integer_value(json_object_get(json, key));
}

/* NAN where it is null. */
static double real_of(json_t *json, const char *key)
{
	json_t *value = json_object_get(json, key);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

/* A stranger's word: what could move a cursor, or take more columns than bytes, becomes '?'. */
static void clean(char *out, size_t size, const char *s)
{
	snprintf(out, size, "%.*s", (int)size - 1, s);
	for (; *out; out++)
		if (*out < 0x20 || *out >= 0x7f)
			*out = '?';
}

static void pod_name(json_t *pod, char *out, size_t size)
{
	char raw[330];

	snprintf(raw, sizeof(raw), "%.63s/%.255s", text_of(pod, "namespace"), text_of(pod, "pod"));
	clean(out, size, text_of(pod, "pod")[0] ? raw : "(no name yet)");
}

static void memory_text(double mib, char *out, size_t size)
{
	if (isnan(mib))
		snprintf(out, size, "-");
	else if (mib < 1024)
		snprintf(out, size, "%.0f MiB", mib);
	else
		snprintf(out, size, "%.1f GiB", mib / 1024);
}

static void percent_text(double share, char *out, size_t size)
{
	if (isnan(share))
		snprintf(out, size, "-");
	else
		snprintf(out, size, "%.0f%%", share * 100);
}

/* --- writing ------------------------------------------------------------------------------- */

static void colour(struct top *top, const char *sequence)
{
	if (top->opt->colours)
		kf_text_add(&top->t, sequence);
}

/* In so many columns, cut or filled up. */
static void cell(struct top *top, const char *s, unsigned width)
{
	kf_text_addf(&top->t, "%-*.*s", (int)width, (int)width, s);
}

static void heading(struct top *top, const char *s)
{
	kf_text_add(&top->t, "\n");
	colour(top, BOLD);
	cell(top, s, top->columns);
	colour(top, PLAIN);
	kf_text_add(&top->t, "\n");
}

/* A sentence on as many lines as it takes, the later ones further in. */
static void sentence(struct top *top, const char *s)
{
	char copy[1200];
	size_t at = 0, n, room = top->columns - 2;

	clean(copy, sizeof(copy), s);
	for (n = strlen(copy); at < n; at += room) {
		kf_text_addf(&top->t, "%s%.*s\n", at ? "  " : "", (int)room, copy + at);
		if (at == 0 && n > room)
			room -= 2;
	}
}

/* [||||    ] */
static void gauge(struct top *top, double share, unsigned width, const char *ink)
{
	unsigned i, full = isnan(share) ? 0 : (unsigned)(share * width + 0.5);

	kf_text_add(&top->t, "[");
	colour(top, ink);
	for (i = 0; i < width; i++)
		kf_text_add(&top->t, isnan(share) ? "." : i < full ? "|" : " ");
	colour(top, PLAIN);
	kf_text_add(&top->t, "]");
}

/* --- GPUs ---------------------------------------------------------------------------------- */

static void gpu_head(struct top *top, json_t *gpu)
{
	double used = real_of(gpu, "memoryUsedMiB"), all = real_of(gpu, "memoryMiB");
	unsigned width = top->columns / 8;
	char name[32], busy[16], memory[24], of[24];
	const char *model = text_of(gpu, "name");

	clean(name, sizeof(name), strncmp(model, "NVIDIA ", 7) ? model : model + 7);
	percent_text(real_of(gpu, "utilisation"), busy, sizeof(busy));
	memory_text(used, memory, sizeof(memory));
	memory_text(all, of, sizeof(of));
	colour(top, BOLD);
	kf_text_addf(&top->t, "gpu %u", uint_of(gpu, "index"));
	colour(top, PLAIN);
	kf_text_addf(&top->t, "  %s", name);
	if (!isnan(real_of(gpu, "powerW")))
		kf_text_addf(&top->t, "  %.0f W  %.0f C", real_of(gpu, "powerW"),
			     real_of(gpu, "temperatureC"));
	kf_text_add(&top->t, "  busy ");
	gauge(top, real_of(gpu, "utilisation"), width, GREEN);
	kf_text_addf(&top->t, " %s  memory ", busy);
	gauge(top, used / all, width, BLUE);
	kf_text_addf(&top->t, " %s of %s\n", memory, of);
}

static void gpu_trouble(struct top *top, json_t *gpu)
{
	const char *why = text_of(gpu, "ailment");

	if (!why[0] && strcmp(text_of(gpu, "health"), "well") != 0)
		why = text_of(gpu, "health");
	if (!why[0])
		return;
	colour(top, RED);
	sentence(top, why);
	colour(top, PLAIN);
}

/* "trainer-0", "3 pods", or the state of a device that nobody has. */
static void who(json_t *device, char *out, size_t size)
{
	json_t *pods = json_object_get(device, "pods");
	size_t n = json_array_size(pods);

	if (json_is_true(json_object_get(device, "withdrawn")))
		snprintf(out, size, "withdrawn");
	else if (n == 0 && strcmp(text_of(device, "health"), "well") != 0)
		snprintf(out, size, "%s", text_of(device, "health"));
	else if (n == 1)
		clean(out, size, text_of(json_array_get(pods, 0), "pod"));
	else
		snprintf(out, size, n ? "%zu pods" : "free", n);
}

static const char *ink_of(json_t *device)
{
	if (strcmp(text_of(device, "health"), "well") != 0 ||
	    json_is_true(json_object_get(device, "withdrawn")))
		return RED;
	return json_array_size(json_object_get(device, "pods")) ? GREEN : DIM;
}

enum line { LINE_NAME, LINE_WHO, LINE_BUSY, N_LINES };

static void slice_text(json_t *slice, enum line line, char *out, size_t size)
{
	char busy[16], memory[24];

	if (line == LINE_NAME) {
		snprintf(out, size, "%s", text_of(slice, "name"));
	} else if (line == LINE_WHO) {
		who(slice, out, size);
	} else {
		percent_text(real_of(slice, "utilisation"), busy, sizeof(busy));
		memory_text(real_of(slice, "memoryUsedMiB"), memory, sizeof(memory));
		snprintf(out, size, "%s %s", busy, memory);
	}
}

/* One line of the bar, to scale: |1g.10gb   |1g.10gb   |..........| */
static void bar_line(struct top *top, json_t *gpu, enum line line, unsigned unit)
{
	unsigned units = uint_of(gpu, "units"), at = 0, start, size;
	json_t *slices = json_object_get(gpu, "slices"), *s;
	char text[128];
	size_t i;

	json_array_foreach(slices, i, s)
	{
		start = uint_of(s, "start");
		size = uint_of(s, "size");
		if (start < at || size == 0 || start + size > units)
			continue; /* a part of an instance that stands there already */
		for (; at < start; at++)
			kf_text_addf(&top->t, "%-*.*s", (int)unit, (int)unit, " .");
		slice_text(s, line, text, sizeof(text));
		kf_text_add(&top->t, "|");
		colour(top, ink_of(s));
		cell(top, text, size * unit - 1);
		colour(top, PLAIN);
		at = start + size;
	}
	for (; at < units; at++)
		kf_text_addf(&top->t, "%-*.*s", (int)unit, (int)unit, " .");
	kf_text_add(&top->t, "|\n");
}

static void show_gpu(struct top *top, json_t *gpu)
{
	unsigned units = uint_of(gpu, "units"), unit = units ? (top->columns - 1) / units : 0, line;
	char text[128];

	gpu_head(top, gpu);
	gpu_trouble(top, gpu);
	if (json_array_size(json_object_get(gpu, "slices")) && unit >= 3) {
		for (line = 0; line < N_LINES; line++)
			bar_line(top, gpu, (enum line)line, unit);
	} else if (json_is_true(json_object_get(gpu, "mig"))) {
		kf_text_add(&top->t, "|no slices\n");
	} else {
		who(gpu, text, sizeof(text));
		kf_text_add(&top->t, "|");
		colour(top, ink_of(gpu));
		kf_text_addf(&top->t, "whole  %s%s%s\n", text,
			     strcmp(text_of(gpu, "sharing"), "whole") ? "  shared by " : "",
			     strcmp(text_of(gpu, "sharing"), "whole") ? text_of(gpu, "sharing")
								      : "");
		colour(top, PLAIN);
	}
}

/* --- pods ---------------------------------------------------------------------------------- */

static void pod_cells(struct top *top, const char *pod, const char *device, const char *memory,
		      const char *busy, const char *seconds)
{
	unsigned rest = top->columns > 60 ? top->columns - 60 : 10;

	cell(top, pod, rest + 10);
	kf_text_addf(&top->t, " %-19.19s %10s %6s %10s\n", device, memory, busy, seconds);
}

static void show_pods_of(struct top *top, json_t *gpu, json_t *device, const char *name)
{
	char pod[330], place[48], memory[24], busy[16], seconds[24];
	json_t *p;
	size_t i;

	json_array_foreach(json_object_get(device, "pods"), i, p)
	{
		pod_name(p, pod, sizeof(pod));
		snprintf(place, sizeof(place), "gpu %u %s", uint_of(gpu, "index"), name);
		memory_text(real_of(p, "memoryMiB"), memory, sizeof(memory));
		percent_text(real_of(p, "sm"), busy, sizeof(busy));
		if (isnan(real_of(p, "gpuSeconds")))
			snprintf(seconds, sizeof(seconds), "-");
		else
			snprintf(seconds, sizeof(seconds), "%.0f", real_of(p, "gpuSeconds"));
		pod_cells(top, pod, place, memory, busy, seconds);
	}
}

static void show_pods(struct top *top, json_t *node)
{
	json_t *gpu, *slice;
	size_t g, i;

	kf_text_add(&top->t, "\n");
	colour(top, BOLD);
	pod_cells(top, "POD", "DEVICE", "MEMORY", "BUSY", "GPU-SECONDS");
	colour(top, PLAIN);
	json_array_foreach(json_object_get(node, "gpus"), g, gpu)
	{
		show_pods_of(top, gpu, gpu, "whole");
		json_array_foreach(json_object_get(gpu, "slices"), i, slice)
			show_pods_of(top, gpu, slice, text_of(slice, "name"));
	}
}

/* --- all of it ----------------------------------------------------------------------------- */

static void show_head(struct top *top, json_t *node)
{
	char text[1400], clock[16];
	time_t now = (time_t)(json_integer_value(json_object_get(node, "time")) / 1000);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s  %s  driver %s%s", clock, text_of(node, "node"),
		 text_of(node, "driver"),
		 json_is_false(json_object_get(node, "driverUp")) ? " (it does not answer)" : "");
	sentence(top, text);
	if (!text_of(node, "config")[0])
		return;
	snprintf(text, sizeof(text), "MIG configuration %s: %s%s%s", text_of(node, "config"),
		 text_of(node, "state"), text_of(node, "reason")[0] ? ", " : "",
		 text_of(node, "reason"));
	sentence(top, text);
}

static void show_lists(struct top *top, json_t *node)
{
	json_t *waits = json_object_get(node, "waits"), *events = json_object_get(node, "events");
	json_t *one;
	size_t i;

	if (json_array_size(waits))
		heading(top, "WAITING");
	json_array_foreach(waits, i, one) if (i < WAITS) sentence(top, json_string_value(one));
	if (json_array_size(events))
		heading(top, "RECENT EVENTS");
	json_array_foreach(events, i, one)
	{
		time_t at = (time_t)(json_integer_value(json_object_get(one, "time")) / 1000);
		char text[300];
		struct tm tm;
		size_t n;

		localtime_r(&at, &tm);
		n = strftime(text, sizeof(text), "%H:%M:%S  ", &tm);
		snprintf(text + n, sizeof(text) - n, "%s%s",
			 json_is_true(json_object_get(one, "warning")) ? "Warning: " : "",
			 text_of(one, "text"));
		if (i < EVENTS)
			sentence(top, text);
	}
}

char *kf_top_text(json_t *node, const struct kf_top_options *opt)
{
	struct top top = {.opt = opt, .columns = opt->columns};
	json_t *gpu;
	size_t i;

	if (top.columns < LEAST_COLUMNS)
		top.columns = LEAST_COLUMNS;
	if (top.columns > 400)
		top.columns = 400;
	show_head(&top, node);
	json_array_foreach(json_object_get(node, "gpus"), i, gpu) show_gpu(&top, gpu);
	show_pods(&top, node);
	show_lists(&top, node);
	return kf_text_take(&top.t);
}
