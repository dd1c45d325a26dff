// The step of `sgd_step` on CUDA for many parameters at once: a row of blocks for each parameter, each number read once and
// written once.
//
// Compiled without contraction to fused multiply-adds, so that it rounds as the CPU does.

#ifndef SGD_SHIM // on a CPU, in tests, a shim says what this means
#define KERNEL extern "C" __global__
#endif

#define MOST 96 // parameters per launch: their addresses fit into the 4 KB that a kernel's arguments may have

struct Update {
  float* param;
  float* momentum_buffer;
  const float* grad;
  unsigned long long count;
  float weight_decay;
};
struct Updates { Update at[MOST]; };

// Writes to `verdict` the lowest index of a gradient that is not finite.
KERNEL void find_not_finite(Updates updates, unsigned first, unsigned* verdict) {
  const Update update = updates.at[blockIdx.y];
  const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
  for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < update.count; i += step) {
    if (!(update.grad[i] - update.grad[i] == 0.f)) atomicMin(verdict, first + blockIdx.y);
  }
}

// Updates nothing if `verdict` names a gradient.
KERNEL void sgd_step(Updates updates, float lr, float momentum, int nesterov, const unsigned* verdict) {
  if (*verdict != ~0u) return;
  const Update update = updates.at[blockIdx.y];
  const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
  for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < update.count; i += step) {
    const float old = update.param[i];
    const float decayed = update.grad[i] + update.weight_decay * old;
    const float buffer = momentum * update.momentum_buffer[i] + decayed;
    update.momentum_buffer[i] = buffer;
    update.param[i] = old - lr * (nesterov ? decayed + momentum * buffer : buffer);
  }
}
