/* A simulated machine in words and in JSON. */
#pragma once

#include <stdio.h>

#include "core/state.h"

void kf_sim_show(struct kf_sim *sim, FILE *out);
/* 0, or -1: no memory. */
int kf_sim_show_json(struct kf_sim *sim, FILE *out);
