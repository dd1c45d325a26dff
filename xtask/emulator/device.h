// Makes of CUDA C++ what a C++ compiler understands; comes before the text of every kernel.
#pragma once
#include "fibers.h"
#include <cassert>
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <limits>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __noinline__
#define __restrict__
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("takd_shared")))
#define __syncthreads() ((void)takd::barrier(__LINE__, false))
#define __syncthreads_count(yes) takd::barrier(__LINE__, yes)
#define __syncthreads_or(yes) (takd::barrier(__LINE__, yes) > 0)
#define __syncthreads_and(yes) (takd::barrier(__LINE__, !(yes)) == 0)

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;
namespace cuda {
namespace std = ::std;
}
static const int warpSize = 32;

// ---- vectors -------------------------------------------------------------------------------------------------------

#define TAKD_VECTORS(T, name, bytes)                                                       \
  struct alignas(2 * bytes) name##2 { T x, y; };                                           \
  struct alignas(bytes < 8 ? 4 * bytes : 16) name##4 { T x, y, z, w; };                    \
  static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                        \
  static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
TAKD_VECTORS(float, float, 4)
TAKD_VECTORS(double, double, 8)
TAKD_VECTORS(int, int, 4)
TAKD_VECTORS(unsigned, uint, 4)
TAKD_VECTORS(short, short, 2)
TAKD_VECTORS(unsigned short, ushort, 2)
TAKD_VECTORS(signed char, char, 1)
TAKD_VECTORS(unsigned char, uchar, 1)
TAKD_VECTORS(long long, longlong, 8)
#undef TAKD_VECTORS
struct float3 { float x, y, z; };
struct int3 { int x, y, z; };
static inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
static inline int3 make_int3(int x, int y, int z) { return {x, y, z}; }

// ---- numbers -------------------------------------------------------------------------------------------------------

template <class To, class From> static inline To takd_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
static inline unsigned __float_as_uint(float x) { return takd_bits<unsigned>(x); }
static inline int __float_as_int(float x) { return takd_bits<int>(x); }
static inline float __uint_as_float(unsigned x) { return takd_bits<float>(x); }
static inline float __int_as_float(int x) { return takd_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return takd_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return takd_bits<double>(x); }

// As CUDA's: of two floating-point numbers one of which is NaN, the other.
template <class A, class B> static inline std::common_type_t<A, B> min(A a, B b) {
  using C = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<C>) return std::fmin((C)a, (C)b);
  else return (C)b < (C)a ? (C)b : (C)a;
}
template <class A, class B> static inline std::common_type_t<A, B> max(A a, B b) {
  using C = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<C>) return std::fmax((C)a, (C)b);
  else return (C)a < (C)b ? (C)b : (C)a;
}

static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
static inline double rsqrt(double x) { return 1. / sqrt(x); }
static inline float fdividef(float a, float b) { return a / b; }
static inline float __fdividef(float a, float b) { return a / b; }
// glibc has functions of these names.
#define __expf expf
#define __exp2f exp2f
#define __logf logf
#define __log2f log2f
#define __log10f log10f
#define __powf powf
#define __sinf sinf
#define __cosf cosf
#define __tanf tanf
static inline float __saturatef(float x) { return fminf(fmaxf(x, 0.f), 1.f); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1.f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline int __float2int_rn(float x) { return (int)nearbyintf(x); }
static inline int __float2int_rz(float x) { return (int)x; }
static inline int __float2int_rd(float x) { return (int)floorf(x); }
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned x) { return (float)x; }
static inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
static inline double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
static inline int __mul24(int a, int b) { return a * b; }
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned which) {
  unsigned long long bytes = (unsigned long long)b << 32 | a;
  unsigned to = 0;
  for (int i = 0; i < 4; ++i) to |= (unsigned)(bytes >> (which >> 4 * i & 7) * 8 & 255) << 8 * i;
  return to;
}

// ---- half and bf16: kept in 16 bits, worked out in f32 ---------------------------------------------------------------

static inline float takd_from_half(unsigned short bits) {
  unsigned exponent = bits >> 10 & 31, fraction = bits & 1023;
  float value = exponent == 0    ? ldexpf((float)fraction, -24)
                : exponent == 31 ? (fraction ? NAN : INFINITY)
                                 : ldexpf((float)(fraction + 1024), (int)exponent - 25);
  return bits >> 15 ? -value : value;
}
static inline unsigned short takd_to_half(float value) { // to nearest, ties to even
  unsigned short sign = signbit(value) ? 0x8000 : 0;
  float size = fabsf(value);
  if (isnan(value)) return 0x7fff;
  if (size >= 65520.f) return sign | 0x7c00;
  if (size < ldexpf(1.f, -14)) return sign | (unsigned short)nearbyintf(ldexpf(size, 24));
  int exponent;
  frexpf(size, &exponent); // size = f * 2^exponent, f in [1/2, 1)
  return sign | (unsigned short)((int)nearbyintf(ldexpf(size, 11 - exponent)) + ((exponent + 13) << 10));
}
static inline float takd_from_bf16(unsigned short bits) { return __uint_as_float((unsigned)bits << 16); }
static inline unsigned short takd_to_bf16(float value) {
  unsigned bits = __float_as_uint(value);
  return isnan(value) ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
#define TAKD_NARROW(Name, from, to)                                                                       \
  struct Name {                                                                                           \
    unsigned short bits;                                                                                  \
    Name() = default;                                                                                     \
    template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>> Name(T x) : bits(to((float)x)) {} \
    template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>> explicit operator T() const {   \
      return (T)from(bits);                                                                               \
    }                                                                                                     \
    operator float() const { return from(bits); }                                                         \
    Name& operator+=(Name b) { return *this = Name((float)*this + (float)b); }                            \
    Name& operator-=(Name b) { return *this = Name((float)*this - (float)b); }                            \
    Name& operator*=(Name b) { return *this = Name((float)*this * (float)b); }                            \
    Name& operator/=(Name b) { return *this = Name((float)*this / (float)b); }                            \
  };                                                                                                      \
  static inline Name operator+(Name a, Name b) { return a += b; }                                         \
  static inline Name operator-(Name a, Name b) { return a -= b; }                                         \
  static inline Name operator*(Name a, Name b) { return a *= b; }                                         \
  static inline Name operator/(Name a, Name b) { return a /= b; }                                         \
  static inline Name operator-(Name a) { return Name(-(float)a); }                                        \
  static inline bool operator<(Name a, Name b) { return (float)a < (float)b; }                            \
  static inline bool operator>(Name a, Name b) { return (float)a > (float)b; }                            \
  static inline bool operator<=(Name a, Name b) { return (float)a <= (float)b; }                          \
  static inline bool operator>=(Name a, Name b) { return (float)a >= (float)b; }                          \
  static inline bool operator==(Name a, Name b) { return (float)a == (float)b; }                          \
  static inline bool operator!=(Name a, Name b) { return (float)a != (float)b; }                          \
  static inline bool __hisnan(Name a) { return isnan((float)a); }                                         \
  static inline Name __hmax_nan(Name a, Name b) { return __hisnan(a) ? a : __hisnan(b) ? b : a < b ? b : a; } \
  static inline Name __hmin_nan(Name a, Name b) { return __hisnan(a) ? a : __hisnan(b) ? b : b < a ? b : a; } \
  static inline Name __habs(Name a) { return Name(fabsf((float)a)); }                                     \
  static inline Name hsqrt(Name a) { return Name(sqrtf((float)a)); }                                      \
  static inline Name hcos(Name a) { return Name(cosf((float)a)); }                                        \
  static inline Name hsin(Name a) { return Name(sinf((float)a)); }                                        \
  static inline Name hexp(Name a) { return Name(expf((float)a)); }                                        \
  static inline Name hlog(Name a) { return Name(logf((float)a)); }
TAKD_NARROW(__half, takd_from_half, takd_to_half)
TAKD_NARROW(__nv_bfloat16, takd_from_bf16, takd_to_bf16)
#undef TAKD_NARROW
typedef __half half;
static inline float __half2float(__half x) { return x; }
static inline __half __float2half(float x) { return x; }
static inline __half __float2half_rn(float x) { return x; }
static inline unsigned short __half_as_ushort(__half x) { return x.bits; }
static inline __half __ushort_as_half(unsigned short bits) { return takd_bits<__half>(bits); }
static inline float __bfloat162float(__nv_bfloat16 x) { return x; }
static inline __nv_bfloat16 __float2bfloat16(float x) { return x; }
static inline __nv_bfloat16 __float2bfloat16_rn(float x) { return x; }
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return takd_bits<__nv_bfloat16>(bits); }
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
struct __nv_bfloat162 { __nv_bfloat16 x, y; };
static inline __nv_bfloat162 __hadd2(__nv_bfloat162 a, __nv_bfloat162 b) { return {a.x + b.x, a.y + b.y}; }
static inline __nv_bfloat162 __hsub2(__nv_bfloat162 a, __nv_bfloat162 b) { return {a.x - b.x, a.y - b.y}; }
static inline __nv_bfloat162 __hmul2(__nv_bfloat162 a, __nv_bfloat162 b) { return {a.x * b.x, a.y * b.y}; }
static inline __nv_bfloat162 __hdiv2(__nv_bfloat162 a, __nv_bfloat162 b) { return {a.x / b.x, a.y / b.y}; }
// fp8 can be copied, no more.
enum { __NV_E4M3 };
struct __nv_fp8_e4m3 {
  unsigned char __x;
  __nv_fp8_e4m3() = default;
  explicit __nv_fp8_e4m3(float) { takd::launch->fail("fp8 is not emulated"); }
};
static inline __half __nv_cvt_fp8_to_halfraw(unsigned char, int) { takd::launch->fail("fp8 is not emulated"); }

// ---- memory ----------------------------------------------------------------------------------------------------------

template <class T> static inline T __ldg(const T* from) { return *from; }
template <class T> static inline T __ldcg(const T* from) { return *from; }
template <class T> static inline T __ldcs(const T* from) { return *from; }
template <class T> static inline void __stcg(T* to, T value) { *to = value; }
template <class T> static inline void __stcs(T* to, T value) { *to = value; }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __nanosleep(unsigned) {}
[[noreturn]] static inline void __trap() { takd::launch->fail("__trap()"); }

#define TAKD_ATOMIC(name, result)                                                      \
  template <class T, class U> static inline T name(T* at, U given) {                   \
    T old = *at, value = (T)given;                                                     \
    *at = result;                                                                      \
    return old;                                                                        \
  }
TAKD_ATOMIC(atomicAdd, old + value)
TAKD_ATOMIC(atomicSub, old - value)
TAKD_ATOMIC(atomicMin, value < old ? value : old)
TAKD_ATOMIC(atomicMax, old < value ? value : old)
TAKD_ATOMIC(atomicAnd, old & value)
TAKD_ATOMIC(atomicOr, old | value)
TAKD_ATOMIC(atomicXor, old ^ value)
TAKD_ATOMIC(atomicExch, value)
TAKD_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
#undef TAKD_ATOMIC
template <class T, class U, class V> static inline T atomicCAS(T* at, U expected, V value) {
  T old = *at;
  if (old == (T)expected) *at = (T)value;
  return old;
}

// ---- what the lanes of a warp do together ----------------------------------------------------------------------------

// A lane's value, and the lane whose value it asks for; afterwards what it got: all bits set where that lane is not there.
template <class T> struct TakdShuffle {
  T value;
  unsigned from;
  T got;
};
template <class T> static T takd_shuffle(unsigned mask, T value, unsigned from) {
  TakdShuffle<T> mine = {value, from, value};
  takd::together(mask, &mine, [](void** lanes) {
    for (int lane = 0; lane < 32; ++lane) {
      auto* to = (TakdShuffle<T>*)lanes[lane];
      if (!to) continue;
      auto* from = (TakdShuffle<T>*)lanes[to->from];
      if (from) to->got = from->value;
      else memset((void*)&to->got, 0xff, sizeof(T));
    }
  });
  return mine.got;
}
static inline unsigned takd_lane() { return takd::current % 32; }
template <class T> static T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return takd_shuffle(mask, value, (takd_lane() & ~(width - 1)) | (from & (width - 1)));
}
template <class T> static T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32) {
  unsigned lane = takd_lane(), from = lane ^ by;
  return takd_shuffle(mask, value, from >= (lane & ~(width - 1)) + width ? lane : from);
}
template <class T> static T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  unsigned lane = takd_lane();
  return takd_shuffle(mask, value, (lane & (width - 1)) + by < (unsigned)width ? lane + by : lane);
}
template <class T> static T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  unsigned lane = takd_lane();
  return takd_shuffle(mask, value, (lane & (width - 1)) >= by ? lane - by : lane);
}
static void __syncwarp(unsigned mask = ~0u) {
  char there;
  takd::together(mask, &there, [](void**) {});
}
static unsigned __ballot_sync(unsigned mask, int yes) {
  unsigned word = yes ? 1u : 0u;
  takd::together(mask, &word, [](void** lanes) {
    unsigned ballot = 0;
    for (int lane = 0; lane < 32; ++lane) {
      if (lanes[lane]) ballot |= *(unsigned*)lanes[lane] << lane;
    }
    for (int lane = 0; lane < 32; ++lane) {
      if (lanes[lane]) *(unsigned*)lanes[lane] = ballot;
    }
  });
  return word;
}
static int __any_sync(unsigned mask, int yes) { return __ballot_sync(mask, yes) != 0; }
static int __all_sync(unsigned mask, int yes) { return __ballot_sync(mask, !yes) == 0; }

// d += a * b for a 16x8 and an 8x8 matrix of tf32, spread over the warp's lanes as the PTX manual's figures for
// `mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32` show.
struct TakdMma {
  float* d;
  const unsigned *a, *b;
};
static void takd_mma_m16n8k8_tf32(float d[4], const unsigned a[4], const unsigned b[2]) {
  TakdMma mine = {d, a, b};
  takd::together(~0u, &mine, [](void** lanes) {
    float A[16][8], B[8][8];
    auto tf32 = [](unsigned bits) { return __uint_as_float(bits & ~0x1fffu); };
    for (int lane = 0; lane < 32; ++lane) {
      auto* from = (TakdMma*)lanes[lane];
      if (!from) takd::launch->fail("mma by a warp some of whose lanes are not there");
      int group = lane / 4, at = lane % 4;
      for (int i = 0; i < 4; ++i) A[group + i % 2 * 8][at + i / 2 * 4] = tf32(from->a[i]);
      for (int i = 0; i < 2; ++i) B[at + i * 4][group] = tf32(from->b[i]);
    }
    for (int lane = 0; lane < 32; ++lane) {
      int group = lane / 4, at = lane % 4;
      for (int i = 0; i < 4; ++i) {
        int row = group + i / 2 * 8, column = at * 2 + i % 2;
        double sum = ((TakdMma*)lanes[lane])->d[i];
        for (int k = 0; k < 8; ++k) sum += (double)A[row][k] * (double)B[k][column];
        ((TakdMma*)lanes[lane])->d[i] = (float)sum;
      }
    }
  });
}

// ---- PTX instructions, by name; the operands in the order in which `asm` lists them -----------------------------------

static inline void takd_asm_cvt_f32_f16(float& to, unsigned short bits) { to = takd_from_half(bits); }
static inline void takd_asm_cvt_rn_f16_f32(unsigned short& to, float value) { to = takd_to_half(value); }
static inline void takd_asm_cvt_rna_tf32_f32(unsigned& to, float value) { // to nearest, ties away from zero
  to = isnan(value) ? 0x7fffffff : (__float_as_uint(value) + 0x1000) & ~0x1fffu;
}
static inline void takd_asm_mma_sync_aligned_m16n8k8_row_col_f32_tf32_tf32_f32(
    float& d0, float& d1, float& d2, float& d3, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
  float d[4] = {d0, d1, d2, d3};
  const unsigned a[4] = {a0, a1, a2, a3}, b[2] = {b0, b1};
  takd_mma_m16n8k8_tf32(d, a, b);
  d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
}
