/*
 * `kerf status` and `kerf top` ask here: two unix sockets in the state directory, mode 0600.  A
 * client connects and is told the agent's view (agent.sock), or the node with what was measured
 * (top.sock), as one JSON text; nothing is read from it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/internal.h"
#include "base/alloc.h"

#define CLIENTS 8 /* at once; a status is over in a millisecond */

struct kf_status_client {
	struct kf_status_client *next, **at; /* of the agent's */
	uv_pipe_t pipe;
	uv_write_t write;
	char *text;
	struct kf_agent *agent;
};

static void on_closed(uv_handle_t *handle)
{
	struct kf_status_client *c = handle->data;

	c->agent->n_status_clients--;
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	free(c->text);
	free(c);
}

static void on_written(uv_write_t *write, int status)
{
	struct kf_status_client *c = write->data;

	(void)status;
	if (!uv_is_closing((uv_handle_t *)&c->pipe))
		uv_close((uv_handle_t *)&c->pipe, on_closed);
}

static void answer(struct kf_status_client *c, int top)
{
	uv_buf_t buf;

	c->text = top ? kf_agent_node_json(c->agent) : kf_agent_status_json(c->agent);
	buf = uv_buf_init(c->text, c->text ? (unsigned)strlen(c->text) : 0);
	c->write.data = c;
	if (!c->text || uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written) < 0)
		uv_close((uv_handle_t *)&c->pipe, on_closed);
}

static void on_connection(uv_stream_t *server, int status)
{
	struct kf_agent *a = server->data;
	struct kf_status_client *c;

	if (status < 0)
		return;
	c = kf_calloc(1, sizeof(*c));
	if (!c)
		return;
	c->agent = a;
	c->pipe.data = c;
	uv_pipe_init(&a->loop, &c->pipe, 0);
	c->next = a->status_clients;
	c->at = &a->status_clients;
	if (c->next)
		c->next->at = &c->next;
	a->status_clients = c;
	a->n_status_clients++;
	if (uv_accept(server, (uv_stream_t *)&c->pipe) < 0 || a->n_status_clients > CLIENTS ||
	    a->stopping)
		uv_close((uv_handle_t *)&c->pipe, on_closed);
	else
		answer(c, server == (uv_stream_t *)&a->top);
}

void kf_agent_serve_stop(struct kf_agent *a)
{
	struct kf_status_client *c;

	for (c = a->status_clients; c; c = c->next)
		if (!uv_is_closing((uv_handle_t *)&c->pipe))
			uv_close((uv_handle_t *)&c->pipe, on_closed);
}

int kf_agent_open_socket(struct kf_agent *a, uv_pipe_t *pipe, const char *name, uv_connection_cb cb,
			 struct kf_error *err)
{
	char path[512];
	mode_t mask;
	int r;

	snprintf(path, sizeof(path), "%s/%s", a->set->state_dir, name);
	/* The ledger's lock says that no other agent is alive here: what lies there is left over.
	 */
	unlink(path);
	uv_pipe_init(&a->loop, pipe, 0);
	pipe->data = a;
	mask = umask(0177);
	r = uv_pipe_bind(pipe, path);
	umask(mask);
	if (r == 0)
		r = uv_listen((uv_stream_t *)pipe, CLIENTS, cb);
	if (r < 0)
		return kf_fail(err, KF_E_SYSTEM, -r, "listen on %s: %s", path, uv_strerror(r));
	return 0;
}

int kf_agent_serve(struct kf_agent *a, struct kf_error *err)
{
	if (kf_agent_open_socket(a, &a->status, "agent.sock", on_connection, err) < 0)
		return -1;
	return kf_agent_open_socket(a, &a->top, "top.sock", on_connection, err);
}
