/* /sim/...: what shall go wrong; see fault.h. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "serve.h"

static enum MHD_Result done(struct kf_sim_call *call)
{
	return kf_sim_answer(call, 200, json_object());
}

static enum MHD_Result order(struct kf_sim_call *call, json_t *json)
{
	static const char *const words[] = {
		[KF_SIM_ORDER_END] = "end",	      [KF_SIM_ORDER_DROP] = "drop",
		[KF_SIM_ORDER_GARBAGE] = "garbage",   [KF_SIM_ORDER_MIDWAY] = "midway",
		[KF_SIM_ORDER_EXPIRE] = "expire",     [KF_SIM_ORDER_ERROR] = "error",
		[KF_SIM_ORDER_BOOKMARK] = "bookmark", [KF_SIM_ORDER_STALL] = "stall",
	};
	const char *word = json_string_value(json_object_get(json, "do"));
	unsigned i;

	for (i = 1; word && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i], word))
			continue;
		call->api->order = (enum kf_sim_order)i;
		call->api->order_serial++;
		pthread_cond_broadcast(&call->api->store.changed);
		return done(call);
	}
	return kf_sim_refuse(call, 400, "BadRequest", NULL, "\"do\" what?");
}

static enum MHD_Result fault(struct kf_sim_call *call, json_t *json)
{
	struct kf_error err = {0};

	if (kf_sim_fault_add(&call->api->faults, json, &err) < 0)
		return kf_sim_refuse(call, 400, "BadRequest", NULL, "%s", err.msg);
	return done(call);
}

static enum MHD_Result token(struct kf_sim_call *call, json_t *json)
{
	const char *s = json_string_value(json_object_get(json, "token"));

	free(call->api->token);
	call->api->token = s ? kf_strdup(s) : NULL;
	return done(call);
}

static enum MHD_Result stats(struct kf_sim_call *call)
{
	const struct kf_sim_stats *s = &call->api->stats;

	return kf_sim_answer(
		call, 200,
		json_pack("{s:I, s:I, s:I, s:I, s:I, s:i}", "requests", (json_int_t)s->requests,
			  "watches", (json_int_t)s->watches, "lists", (json_int_t)s->lists,
			  "refused", (json_int_t)s->refused, "bookmarks", (json_int_t)s->bookmarks,
			  "open", (int)atomic_load(&s->open)));
}

enum MHD_Result kf_sim_control(struct kf_sim_call *call)
{
	json_auto_t *json = json_loadb(call->body.s ? call->body.s : "", call->body.n, 0, NULL);
	const char *what = call->path + strlen("/sim/");

	if (!strcmp(what, "stats"))
		return stats(call);
	if (!json_is_object(json))
		return kf_sim_refuse(call, 400, "BadRequest", NULL, "this wants a JSON object");
	if (!strcmp(what, "fault"))
		return fault(call, json);
	if (!strcmp(what, "watches"))
		return order(call, json);
	if (!strcmp(what, "token"))
		return token(call, json);
	if (!strcmp(what, "budget")) {
		call->api->budget = (long)json_integer_value(json_object_get(json, "allowed"));
		return done(call);
	}
	if (!strcmp(what, "expire")) {
		kf_sim_forget_history(&call->api->store);
		return done(call);
	}
	return kf_sim_refuse(call, 404, "NotFound", NULL, "there is no %s", call->path);
}
