// Kernels that are right and kernels with one mistake each; blocks of 32 threads, 64 bytes of dynamic shared memory. `out` has
// `count` = 64 numbers, `in` 101 that nobody wrote.
#define KERNEL(name) extern "C" __global__ void name(float* out, const float* in, unsigned count)
#define AT (blockIdx.x * blockDim.x + threadIdx.x)

KERNEL(index) { out[AT] = AT; }
KERNEL(reversed) {
  __shared__ float all[32];
  all[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[AT] = all[31 - threadIdx.x];
}
KERNEL(left_early) {
  extern __shared__ float all[];
  out[AT] = 0.f;
  if (threadIdx.x >= 16) return;
  all[threadIdx.x] = 1.f;
  __syncthreads();
  out[AT] = all[15 - threadIdx.x];
}
KERNEL(warp_sum) {
  float sum = threadIdx.x;
  for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
  out[AT] = sum;
}
// A has row + column / 8, B row * 8 + column, both exact in tf32; `out` is the products' first and last numbers of each lane.
KERNEL(mma) {
  const int group = threadIdx.x / 4, at = threadIdx.x % 4;
  unsigned a[4], b[2];
  for (int i = 0; i < 4; ++i) a[i] = __float_as_uint(group + i % 2 * 8 + (at + i / 2 * 4) / 8.f);
  for (int i = 0; i < 2; ++i) b[i] = __float_as_uint((at + i * 4) * 8 + group);
  float d[4] = {0.f, 0.f, 0.f, 0.f};
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  out[AT] = blockIdx.x ? d[3] : d[0];
}
KERNEL(fresh) { out[AT] = in[AT]; }

KERNEL(past) { out[AT] = in[AT + 80]; }
KERNEL(just_past) { if (AT == 0) ((float*)in)[101] = 1.f; out[AT] = 0.f; }
KERNEL(before) { out[(int)AT - 1] = 0.f; }
KERNEL(released) { out[AT] = in[0]; }
KERNEL(deadlock) { if (threadIdx.x < 3) __syncthreads(); else __syncwarp(); }
KERNEL(two_barriers) {
  if (threadIdx.x < 3) __syncthreads();
  else
    __syncthreads();
}
KERNEL(no_barrier) {
  __shared__ float all[32];
  all[threadIdx.x] = 1.f;
  out[AT] = all[threadIdx.x / 2];
}
KERNEL(shared_past) {
  __shared__ float all[32];
  all[count - 32] = 1.f;
  out[AT] = all[0];
}
KERNEL(dynamic_past) {
  extern __shared__ float all[];
  all[threadIdx.x] = 1.f;
}
KERNEL(unaligned) { *(float4*)(out + 1) = make_float4(1.f, 2.f, 3.f, 4.f); }
extern "C" __global__ void __launch_bounds__(16) bounded(float* out) { out[AT] = 0.f; }
