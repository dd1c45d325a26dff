// The Metal kernel under the shim.
#include "shim.h"
#define KERNEL static
#define INLINE static inline
#define GLOBAL
#define THREAD
#define SHARED
#define BUFFER(n)
#define INDEX(what)
#define CONSTANT const
#define SHARED_ARGUMENT(type, name) type* name
#define BITS_OF(x) shim_bits<uint>(x)
#define OF_BITS(x) shim_bits<float>(x)
#define FROM_HALF(bits) shim_from_half(bits)
#define TO_HALF(x) shim_to_half(x)
typedef unsigned char uchar;
struct uint2 { uint x, y; };
struct alignas(16) uint4 { uint x, y, z, w; };
template <typename To, typename From> static To shim_bits(From from) {
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
#include "kd_loss.metal"

static void rows(const STUDENT* student, const TEACHER** t, const uchar* labels, const float* weights,
                 const float* total, const float* upstream, Terms terms, float* losses, STUDENT* grad) {
  kd_loss_rows(student, labels, weights, total, upstream, terms, losses, grad, t[0], t[1], t[2], t[3], t[4], t[5], t[6],
               t[7], (Sums*)shim_shared, {threadIdx.x, threadIdx.y}, {blockDim.x, blockDim.y},
               {blockIdx.x, blockIdx.y});
}
static void sum(const float* losses, const uchar* labels, const float* weights, Terms terms, float* to) {
  kd_sum(losses, losses != nullptr, labels, weights, terms, to, (float*)shim_shared, {threadIdx.x, threadIdx.y},
         {blockDim.x, blockDim.y});
}
#include "driver.h"
