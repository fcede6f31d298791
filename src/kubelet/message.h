/*
 * Inside kubelet/, and for the stand-in kubelet: values to bytes, and protobuf-c's memory from
 * base/alloc.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "kubelet/answer.h"
#include "kubelet/offer.h"

/* One message, packed.  Zeroed is empty. */
struct kf_message {
	uint8_t *bytes;
	size_t n;
};

extern ProtobufCAllocator kf_message_memory; /* for the _unpack and _free_unpacked functions */

/* All: 0, or -1 without memory.  *ret is the caller's (kf_message_done). */
int kf_message_pack(const ProtobufCMessage *m, struct kf_message *ret);
/* ListAndWatchResponse. */
int kf_message_list(const struct kf_offer *offer, struct kf_message *ret);
/* AllocateResponse for n containers. */
int kf_message_answers(const struct kf_answer *answer, unsigned n, struct kf_message *ret);
void kf_message_done(struct kf_message *m);
