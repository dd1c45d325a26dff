// libcublas and libcurand, as far as candle asks for them: products of matrices, and random numbers.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

void need_device(const void* at, size_t bytes, const char* what);

#define ENTRY extern "C" __attribute__((visibility("default"))) int
typedef void* Handle;
enum { SUCCESS = 0, NOT_SUPPORTED = 15 };
enum Type { F32 = 0, F64 = 1, F16 = 2, BF16 = 14 };

static size_t size_of(int type) { return type == F64 ? 8 : type == F32 ? 4 : 2; }
static double read(const void* from, int type, size_t at) {
  if (type == F64) return ((const double*)from)[at];
  if (type == F32) return ((const float*)from)[at];
  uint16_t bits = ((const uint16_t*)from)[at];
  if (type == BF16) {
    uint32_t word = (uint32_t)bits << 16;
    float value;
    return memcpy(&value, &word, 4), value;
  }
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double value = exponent == 31 ? (fraction ? NAN : INFINITY) : ldexp(exponent ? fraction + 1024 : fraction, exponent ? exponent - 25 : -24);
  return bits >> 15 ? -value : value;
}
static void write(void* to, int type, size_t at, double value) {
  if (type == F64) ((double*)to)[at] = value;
  else if (type == F32) ((float*)to)[at] = (float)value;
  else if (type == BF16) {
    float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, 4);
    ((uint16_t*)to)[at] = std::isnan(narrow) ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  } else {
    uint16_t sign = std::signbit(value) ? 0x8000 : 0, size;
    double most = fabs(value);
    int exponent;
    frexp(most, &exponent);
    if (std::isnan(value)) size = 0x7fff;
    else if (most >= 65520.) size = 0x7c00;
    else if (most < ldexp(1, -14)) size = (uint16_t)nearbyint(ldexp(most, 24));
    else size = (uint16_t)((int)nearbyint(ldexp(most, 11 - exponent)) + ((exponent + 13) << 10));
    ((uint16_t*)to)[at] = sign | size;
  }
}

enum { F32_FAST_TF32 = 77 }; // a compute type

// As tensor cores take a factor: 10 bits behind the point, to nearest.
static double to_tf32(double value) {
  float narrow = (float)value;
  uint32_t bits;
  memcpy(&bits, &narrow, 4);
  bits = std::isfinite(narrow) ? (bits + 0x1000) & ~0x1fffu : bits;
  return memcpy(&narrow, &bits, 4), narrow;
}

// C = alpha * op(A) * op(B) + beta * C, column by column in memory; sums in f64, rounded once.
static int gemm(int trans_a, int trans_b, int m, int n, int k, double alpha, const void* a, int a_type, int lda, long long stride_a,
                const void* b, int b_type, int ldb, long long stride_b, double beta, void* c, int c_type, int ldc,
                long long stride_c, int batch, bool tf32 = false) {
  for (int type : {a_type, b_type, c_type}) {
    if (type != F32 && type != F64 && type != F16 && type != BF16) return NOT_SUPPORTED;
  }
  auto extent = [&](int rows, int columns, int ld, long long stride) {
    return rows && columns && batch ? (size_t)(stride * (batch - 1)) + (size_t)ld * (columns - 1) + rows : 0;
  };
  need_device(a, extent(trans_a ? k : m, trans_a ? m : k, lda, stride_a) * size_of(a_type), "gemm, A");
  need_device(b, extent(trans_b ? n : k, trans_b ? k : n, ldb, stride_b) * size_of(b_type), "gemm, B");
  need_device(c, extent(m, n, ldc, stride_c) * size_of(c_type), "gemm, C");
  std::vector<double> A((size_t)m * k), B((size_t)k * n);
  for (int index = 0; index < batch; ++index) {
    size_t from_a = index * stride_a, from_b = index * stride_b, to = index * stride_c;
    for (int row = 0; row < m; ++row)
      for (int i = 0; i < k; ++i) A[(size_t)row * k + i] = read(a, a_type, from_a + (trans_a ? (size_t)row * lda + i : (size_t)i * lda + row));
    for (int column = 0; column < n; ++column)
      for (int i = 0; i < k; ++i) B[(size_t)column * k + i] = read(b, b_type, from_b + (trans_b ? (size_t)i * ldb + column : (size_t)column * ldb + i));
    for (std::vector<double>* factor : {&A, &B})
      if (tf32) for (double& value : *factor) value = to_tf32(value);
    for (int column = 0; column < n; ++column)
      for (int row = 0; row < m; ++row) {
        double sum = 0;
        for (int i = 0; i < k; ++i) sum += A[(size_t)row * k + i] * B[(size_t)column * k + i];
        size_t at = to + (size_t)column * ldc + row;
        write(c, c_type, at, alpha * sum + (beta ? beta * read(c, c_type, at) : 0));
      }
  }
  return SUCCESS;
}

ENTRY cublasCreate_v2(Handle* to) { return *to = new char, SUCCESS; }
ENTRY cublasDestroy_v2(Handle handle) { return delete (char*)handle, SUCCESS; }
ENTRY cublasSetStream_v2(Handle, Handle) { return SUCCESS; }
ENTRY cublasSetMathMode(Handle, int) { return SUCCESS; }
ENTRY cublasSetWorkspace_v2(Handle, void*, size_t) { return SUCCESS; }
ENTRY cublasSgemm_v2(Handle, int ta, int tb, int m, int n, int k, const float* alpha, const float* a, int lda, const float* b, int ldb,
                     const float* beta, float* c, int ldc) {
  return gemm(ta, tb, m, n, k, *alpha, a, F32, lda, 0, b, F32, ldb, 0, *beta, c, F32, ldc, 0, 1);
}
ENTRY cublasSgemmStridedBatched(Handle, int ta, int tb, int m, int n, int k, const float* alpha, const float* a, int lda, long long sa,
                                const float* b, int ldb, long long sb, const float* beta, float* c, int ldc, long long sc, int batch) {
  return gemm(ta, tb, m, n, k, *alpha, a, F32, lda, sa, b, F32, ldb, sb, *beta, c, F32, ldc, sc, batch);
}
ENTRY cublasDgemmStridedBatched(Handle, int ta, int tb, int m, int n, int k, const double* alpha, const double* a, int lda, long long sa,
                                const double* b, int ldb, long long sb, const double* beta, double* c, int ldc, long long sc, int batch) {
  return gemm(ta, tb, m, n, k, *alpha, a, F64, lda, sa, b, F64, ldb, sb, *beta, c, F64, ldc, sc, batch);
}
// The compute type says of which type alpha and beta are.
ENTRY cublasGemmStridedBatchedEx(Handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda,
                                 long long sa, const void* b, int b_type, int ldb, long long sb, const void* beta, void* c, int c_type,
                                 int ldc, long long sc, int batch, int compute, int) {
  int scale = compute == 64 || compute == 65 ? F16 : compute == 70 || compute == 71 ? F64 : F32;
  return gemm(ta, tb, m, n, k, read(alpha, scale, 0), a, a_type, lda, sa, b, b_type, ldb, sb, read(beta, scale, 0), c, c_type, ldc, sc, batch,
              compute == F32_FAST_TF32);
}
ENTRY cublasGemmEx(Handle handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda, const void* b,
                   int b_type, int ldb, const void* beta, void* c, int c_type, int ldc, int compute, int algorithm) {
  return cublasGemmStridedBatchedEx(handle, ta, tb, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c, c_type, ldc, 0, 1, compute, algorithm);
}

// SplitMix64; not cuRAND's numbers.
struct Generator {
  uint64_t state;
  double next() { // in (0, 1]
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return ((z ^ z >> 31) >> 11) * 0x1p-53 + 0x1p-53;
  }
  double normal() { return sqrt(-2 * log(next())) * cos(6.283185307179586 * next()); }
};
ENTRY curandCreateGenerator(Generator** to, int) { return *to = new Generator{0}, SUCCESS; }
ENTRY curandDestroyGenerator(Generator* generator) { return delete generator, SUCCESS; }
ENTRY curandSetStream(Generator*, Handle) { return SUCCESS; }
ENTRY curandSetPseudoRandomGeneratorSeed(Generator* generator, uint64_t seed) { return generator->state = seed, SUCCESS; }
ENTRY curandSetGeneratorOffset(Generator* generator, uint64_t offset) { return generator->state += offset * 0x9e3779b97f4a7c15, SUCCESS; }

template <class T, class Draw> static int fill(T* to, size_t count, Draw draw) {
  need_device(to, count * sizeof(T), "random numbers");
  for (size_t i = 0; i < count; ++i) to[i] = (T)draw();
  return SUCCESS;
}
ENTRY curandGenerateUniform(Generator* generator, float* to, size_t count) {
  return fill(to, count, [=] { return generator->next(); });
}
ENTRY curandGenerateUniformDouble(Generator* generator, double* to, size_t count) {
  return fill(to, count, [=] { return generator->next(); });
}
ENTRY curandGenerateNormal(Generator* generator, float* to, size_t count, float mean, float deviation) {
  return fill(to, count, [=] { return mean + deviation * generator->normal(); });
}
ENTRY curandGenerateNormalDouble(Generator* generator, double* to, size_t count, double mean, double deviation) {
  return fill(to, count, [=] { return mean + deviation * generator->normal(); });
}
