// The CUDA kernel under the shim.
#include "shim.h"
#define KERNEL static
#define INLINE static inline
#define GLOBAL
#define THREAD
#define SHARED
#define SHARED_MEMORY(type, name) type* name = (type*)shim_shared
struct alignas(16) uint4 { uint x, y, z, w; };
#include "kd_loss.cu"

static void rows(const STUDENT* student, const TEACHER** teachers, const uchar* labels, const float* weights,
                 const float* total, const float* upstream, Terms terms, float* losses, STUDENT* grad) {
  Teachers all;
  for (uint i = 0; i < MOST_TEACHERS; ++i) all.at[i] = teachers[i];
  kd_loss_rows(student, all, labels, weights, total, upstream, terms, losses, grad);
}
static void sum(const float* losses, const uchar* labels, const float* weights, Terms terms, float* to) {
  kd_sum(losses, losses != nullptr, labels, weights, terms, to);
}
#include "driver.h"
