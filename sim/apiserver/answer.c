/* Answers of the stand-in API server. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

const char *kf_sim_query(const struct kf_sim_call *call, const char *key)
{
	return MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, key);
}

static enum MHD_Result send_text(struct kf_sim_call *call, unsigned status, const char *type,
				 const char *text, int retry_after_s)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;
	char seconds[16];

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", type);
	if (retry_after_s) {
		snprintf(seconds, sizeof(seconds), "%d", retry_after_s);
		MHD_add_response_header(r, "Retry-After", seconds);
	}
	result = MHD_queue_response(call->connection, status, r);
	MHD_destroy_response(r);
	return result;
}

enum MHD_Result kf_sim_answer_text(struct kf_sim_call *call, unsigned status, const char *text)
{
	return send_text(call, status, "text/plain", text, 0);
}

static enum MHD_Result send_json(struct kf_sim_call *call, unsigned status, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);
	int wait = (int)json_integer_value(
		json_object_get(json_object_get(json, "details"), "retryAfterSeconds"));
	enum MHD_Result result;

	json_decref(json);
	if (!text)
		return MHD_NO;
	result = send_text(call, status, "application/json", text, wait);
	free(text);
	return result;
}

enum MHD_Result kf_sim_answer(struct kf_sim_call *call, unsigned status, json_t *json)
{
	return json ? send_json(call, status, json) : MHD_NO;
}

enum MHD_Result kf_sim_refuse(struct kf_sim_call *call, unsigned status, const char *reason,
			      const char *cause, const char *fmt, ...)
{
	char message[512];
	json_t *json;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	json = json_pack("{s:s, s:s, s:{}, s:s, s:s, s:s, s:i, s:{}}", "kind", "Status",
			 "apiVersion", "v1", "metadata", "status", "Failure", "message", message,
			 "reason", reason, "code", (int)status, "details");
	if (json && cause)
		json_object_set_new(json_object_get(json, "details"), "causes",
				    json_pack("[{s:s, s:s}]", "reason", "DisruptionBudget",
					      "message", cause));
	return kf_sim_answer(call, status, json);
}

/* Does the client ask for PartialObjectMetadata? */
json_t *kf_sim_view(struct kf_sim_call *call, json_t *json)
{
	const char *accept =
		MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "Accept");

	if (!accept || !strstr(accept, "as=PartialObjectMetadata"))
		return json_incref(json);
	return json_pack("{s:s, s:s, s:O}", "kind", "PartialObjectMetadata", "apiVersion",
			 "meta.k8s.io/v1", "metadata", json_object_get(json, "metadata"));
}
