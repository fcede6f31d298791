/*
 * Bytes from a peer of our gRPC: as a server that serves the kubelet's messages, or as a client
 * that waits for an answer.  The first byte says which, and in what pieces the rest arrives.
 */
#include <stdint.h>
#include <string.h>

#include "deviceplugin.pb-c.h"
#include "grpc/grpc.h"
#include "kubelet/message.h"
#include "podresources.pb-c.h"

static const ProtobufCMessageDescriptor *const messages[] = {
	&v1beta1__register_request__descriptor,
	&v1beta1__list_and_watch_response__descriptor,
	&v1beta1__preferred_allocation_request__descriptor,
	&v1beta1__preferred_allocation_response__descriptor,
	&v1beta1__allocate_request__descriptor,
	&v1beta1__allocate_response__descriptor,
	&v1__list_pod_resources_response__descriptor,
	&v1__allocatable_resources_response__descriptor,
};

/* Whatever comes as a message is read as each of those that a peer may send. */
static void read_message(const uint8_t *message, size_t n)
{
	size_t i;

	for (i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		ProtobufCMessage *m =
			protobuf_c_message_unpack(messages[i], &kf_message_memory, n, message);

		if (m)
			protobuf_c_message_free_unpacked(m, &kf_message_memory);
	}
}

static void on_request(void *ud, struct kf_grpc_call *call, const char *path,
		       const uint8_t *message, size_t n)
{
	read_message(message, n);
	if (path[1] == 'w') /* stays open */
		kf_grpc_send(call, message, n, NULL);
	else if (path[1] == 'e')
		kf_grpc_finish(call, KF_GRPC_INTERNAL, path);
	else if (kf_grpc_send(call, message, n, NULL) == 0)
		kf_grpc_finish(call, KF_GRPC_OK, "");
}

static void on_drained(void *ud, struct kf_grpc_call *call)
{
}

static void on_closed(void *ud, struct kf_grpc_call *call)
{
}

static void on_message(void *ud, struct kf_grpc_call *call, const uint8_t *message, size_t n)
{
	read_message(message, n);
}

static void on_done(void *ud, struct kf_grpc_call *call, int status, const char *text)
{
	char encoded[KF_GRPC_MESSAGE];

	kf_grpc_message_encode(text, encoded);
}

static const struct kf_grpc_server_events server_events = {on_request, on_drained, on_closed};
static const struct kf_grpc_call_events call_events = {on_message, on_done};

static struct kf_grpc *open_server(void)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct kf_grpc_limits limits = {.max_message = 4096, .max_streams = 8};
	struct kf_grpc *g = NULL;

	if (kf_grpc_server_new(&limits, &server_events, NULL, &g, NULL) == 0)
		kf_grpc_feed(g, (const uint8_t *)preface, sizeof(preface) - 1, NULL);
	return g;
}

static struct kf_grpc *open_client(void)
{
	struct kf_grpc_limits limits = {.max_message = 4096};
	struct kf_grpc *g = NULL;

	if (kf_grpc_client_new(&limits, &g, NULL) == 0) {
		kf_grpc_call(g, "/a", NULL, 0, &call_events, NULL, NULL, NULL);
		kf_grpc_call(g, "/b", (const uint8_t *)"b", 1, &call_events, NULL, NULL, NULL);
	}
	return g;
}

static int drain(struct kf_grpc *g)
{
	const uint8_t *bytes;
	int n;

	while ((n = kf_grpc_pull(g, &bytes, NULL)) > 0)
		;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	kf_auto(kf_grpc_freep) struct kf_grpc *g = NULL;
	size_t piece, k;

	if (n < 1)
		return 0;
	g = data[0] & 1 ? open_client() : open_server();
	piece = data[0] >> 1 ? data[0] >> 1 : n;
	for (data++, n--; g && n > 0; data += k, n -= k) {
		k = n < piece ? n : piece;
		if (drain(g) < 0 || kf_grpc_feed(g, data, k, NULL) < 0)
			break;
	}
	if (g)
		drain(g);
	return 0;
}
