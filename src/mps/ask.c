/* The agent's side of a holder's socket; see ask.h. */
#include "mps/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"

/* An agent's loop waits for it: a holder answers from memory, in a millisecond. */
#define DEADLINE_MS 700
#define MAX_ANSWER  (1u << 20)

static int open_holder(const char *dir, const char *uuid)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_usec = DEADLINE_MS * 1000};
	int n = snprintf(name.sun_path, sizeof(name.sun_path), "%s/%s/holder.sock", dir, uuid);
	int fd;

	if (n >= (int)sizeof(name.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int exchange(int fd, const char *question, struct kf_text *answer)
{
	size_t n = strlen(question);
	char buffer[4096];
	ssize_t got;

	if (send(fd, question, n, MSG_NOSIGNAL) != (ssize_t)n ||
	    send(fd, "\n", 1, MSG_NOSIGNAL) != 1)
		return -1;
	while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0 && answer->n < MAX_ANSWER)
		kf_text_addn(answer, buffer, (size_t)got);
	return got == 0 && answer->s ? 0 : -1;
}

/* Takes `question`.  The answer, the caller's to json_decref; NULL: none, or it says no (*err). */
static json_t *ask(const char *dir, const char *uuid, json_t *question, struct kf_error *err)
{
	kf_auto_mem char *text = question ? json_dumps(question, JSON_COMPACT) : NULL;
	kf_auto(kf_text_done) struct kf_text answer = {0};
	const char *why;
	json_t *json = NULL;
	int fd = open_holder(dir, uuid);

	json_decref(question);
	if (fd < 0 || !text || exchange(fd, text, &answer) < 0) {
		kf_fail(err, KF_E_SYSTEM, errno,
			"the holder of MPS on %s does not answer (%s); is `kerf mps` running?",
			uuid, strerror(errno));
	} else {
		json = json_loadb(answer.s, answer.n, 0, NULL);
		why = json_string_value(json_object_get(json, "error"));
		if (!json_is_true(json_object_get(json, "ok"))) {
			kf_fail(err, KF_E_REMOTE, 0, "the holder of MPS on %s says: %.300s", uuid,
				why ? why : "nothing that can be read");
			json_decref(json);
			json = NULL;
		}
	}
	if (fd >= 0)
		close(fd);
	return json;
}

static int wish_path(const char *dir, const char *uuid, char *out, size_t size)
{
	return snprintf(out, size, "%s/want/%s", dir, uuid) < (int)size ? 0 : -1;
}

int kf_mps_want(const char *dir, const char *uuid, struct kf_error *err)
{
	char path[500];
	int fd;

	if (wish_path(dir, uuid, path, sizeof(path)) < 0)
		return kf_fail(err, KF_E_INPUT, 0, "--mps-dir is too long");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return kf_fail(err, KF_E_SYSTEM, errno,
			       "ask for an MPS daemon by %s: %s; is `kerf mps` running?", path,
			       strerror(errno));
	close(fd);
	return 0;
}

int kf_mps_add(const char *dir, const char *uuid, const struct kf_mps_wanted *wanted,
	       char folder[KF_MPS_FOLDER], struct kf_error *err)
{
	json_auto_t *answer =
		ask(dir, uuid,
		    json_pack("{s:s,s:{s:s,s:s,s:I,s:i}}", "op", "add", "slice", "name",
			      wanted->name, "pod", wanted->pod_uid, "bytes",
			      (json_int_t)wanted->bytes, "percent", (int)wanted->percent),
		    err);
	const char *path = json_string_value(json_object_get(answer, "folder"));

	if (!answer)
		return -1;
	if (!path || strlen(path) >= KF_MPS_FOLDER)
		return kf_fail(err, KF_E_PROTOCOL, 0, "the holder of MPS on %s names no folder",
			       uuid);
	strcpy(folder, path);
	return 0;
}

int kf_mps_remove(const char *dir, const char *uuid, const char *name, struct kf_error *err)
{
	json_auto_t *answer =
		ask(dir, uuid, json_pack("{s:s,s:s}", "op", "remove", "name", name), err);

	return answer ? 0 : -1;
}

static const char *text_of(const json_t *map, const char *key)
{
	const char *s = json_string_value(json_object_get(map, key));

	return s ? s : "";
}

int kf_mps_look(const char *dir, const char *uuid, const struct kf_mps_news *news,
		struct kf_error *err)
{
	json_auto_t *answer = ask(dir, uuid, json_pack("{s:s}", "op", "status"), err);
	json_t *one;
	size_t i;

	if (!answer)
		return -1;
	json_array_foreach(json_object_get(answer, "slices"), i, one) if (news->slice)
		news->slice(news->ud, text_of(one, "name"), text_of(one, "pod"),
			    (unsigned)json_array_size(json_object_get(one, "clients")));
	json_array_foreach(json_object_get(answer, "events"), i, one) if (news->event)
		news->event(news->ud,
			    (unsigned long)json_integer_value(json_object_get(one, "number")),
			    text_of(one, "what"), text_of(one, "slice"), text_of(one, "sentence"));
	return !strcmp(text_of(answer, "state"), "ACTIVE");
}
