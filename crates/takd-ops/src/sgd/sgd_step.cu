// The step of `sgd_step` on CUDA: one launch, each number read once and written once.
//
// Compiled when it is first used, by NVRTC, without contraction to fused multiply-adds, so that it rounds as the CPU does.

#ifndef SGD_SHIM // on a CPU, in tests, a shim says what this means
#define KERNEL extern "C" __global__
#endif

KERNEL void sgd_step(float* param, float* momentum_buffer, const float* grad, unsigned long long count, float lr,
                     float momentum, float weight_decay, int nesterov) {
  const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
  for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
    const float old = param[i];
    const float decayed = grad[i] + weight_decay * old;
    const float buffer = momentum * momentum_buffer[i] + decayed;
    momentum_buffer[i] = buffer;
    param[i] = old - lr * (nesterov ? decayed + momentum * buffer : buffer);
  }
}
