// Dynamic loss scaling: the rule of torch.amp.GradScaler.
//
// scale: the scale and its reciprocal. An overflow halves the scale, and is counted in *skipped; 2000
// steps without one double it.

#include "common.cuh"

KERNEL update_loss_scale(float* scale, u32* good_steps, u32* overflowed, u32* skipped) {
    constexpr u32 INTERVAL = 2000;
    constexpr float LEAST = 1.0f, MOST = 1 << 24;
    if (blockIdx.x > 0 || threadIdx.x > 0) return;
    float next = scale[0];
    u32 steps = *good_steps + 1;
    if (*overflowed) {
        next = fmaxf(next / 2.0f, LEAST);
        steps = 0;
        *skipped += 1;
    } else if (steps == INTERVAL) {
        next = fminf(next * 2.0f, MOST);
        steps = 0;
    }
    scale[0] = next;
    scale[1] = __frcp_rn(next);
    *good_steps = steps;
    *overflowed = 0;
}
