// The kernel on Metal: a SIMD group or a threadgroup for each row; `src/cpu/mod.rs` lists the steps.
//
// Compiled when it is first used, by the Metal library, for the types at hand: STUDENT and TEACHER are defined as f32, f16
// or bf16 before this text. It is `kd_loss.cu` in Metal's language: they differ above the line of dashes, and in the
// arguments of the two kernels.

#ifndef KD_SHIM // on a CPU, in tests, a shim says what these mean
#include <metal_stdlib>
using namespace metal;
#define KERNEL kernel
#define INLINE static inline
#define GLOBAL device
#define THREAD thread
#define SHARED threadgroup
#define BUFFER(n) [[buffer(n)]]
#define INDEX(what) [[what]]
#define CONSTANT constant
#define SHARED_ARGUMENT(type, name) threadgroup type* name [[threadgroup(0)]]
#define BARRIER threadgroup_barrier(mem_flags::mem_threadgroup)
#define EXP2(x) precise::exp2(x)
#define LOG(x) precise::log(x)
#define MAX(a, b) fmax(a, b)
#define BITS_OF(x) as_type<uint>(x)
#define OF_BITS(x) as_type<float>(x)
#define FROM_HALF(bits) float(as_type<half>(bits))
#define TO_HALF(x) as_type<ushort>(half(x))
#endif
typedef long i64;

struct f32 { float value; };
struct f16 { ushort bits; };
struct bf16 { ushort bits; };

INLINE uint bits_of(float x) { return BITS_OF(x); }
INLINE float of_bits(uint x) { return OF_BITS(x); }
INLINE float wide(f16 x) { return FROM_HALF(x.bits); }
INLINE f16 narrow(float x, f16) {
  f16 v;
  v.bits = TO_HALF(x);
  return v;
}
// ---------------------------------------------------------------------------------------------------------------------

INLINE float wide(f32 x) { return x.value; }
INLINE float wide(bf16 x) { return of_bits((uint)x.bits << 16); }
INLINE f32 narrow(float x, f32) {
  f32 v;
  v.value = x;
  return v;
}
INLINE bf16 narrow(float x, bf16) { // to nearest, ties to even
  bf16 v;
  uint bits = bits_of(x);
  uint rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  v.bits = (ushort)((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded); // of NaN, NaN
  return v;
}
INLINE uint is_finite(float x) { return (bits_of(x) & 0x7f800000u) != 0x7f800000u; }
INLINE float not_a_number() { return of_bits(0x7fc00000u); }

#define MOST_TEACHERS 8
#define CHUNK 8 // logits a thread takes at a time

// Which arguments are given.
#define GIVEN_WEIGHTS 1
#define GIVEN_TOTAL 2
#define GIVEN_UPSTREAM 4
#define GIVEN_GRAD 8

struct Terms {
  uint batch, classes;
  uint teachers;
  uint label_bytes;         // 0: there are none to read
  uint needs_ce;
  uint aligned;             // each row starts at a multiple of CHUNK numbers and of 16 bytes
  uint upstream_step;       // 0: one upstream gradient, 1: one a row
  uint ignores;             // whether ignore_index is set
  uint given;               // the sum of some of GIVEN_…
  uint unused;
  i64 ignore_index;
  float ce, smoothing;      // 1 - lambda, epsilon
  float ce_rate, kl_rate;   // log2(e), log2(e) / tau
  float temperature;
  float scale;              // what every row's weight is multiplied with
  float kl[MOST_TEACHERS];  // each teacher's part of lambda * tau^2
};

// The sums of a part of a row; d is a logit's distance to the part's maximum.
struct Sums {
  float count;
  float max, ce, kl;        // sum of exp d, sum of exp(d / tau)
  float distance;           // sum of d
  float teacher_max, teacher_kl;
  float cross;              // sum of exp(d_t / tau) * (d_t - d_s)
};

// Step 1: a chunk of one thread.
INLINE Sums chunk_sums(const THREAD float* s, const THREAD float* t, uint count, float ce_rate, float kl_rate) {
  Sums sums = {(float)count, s[0], 0.f, 0.f, 0.f, t[0], 0.f, 0.f};
  for (uint k = 1; k < count; ++k) {
    sums.max = MAX(sums.max, s[k]);
    sums.teacher_max = MAX(sums.teacher_max, t[k]);
  }
  for (uint k = 0; k < count; ++k) {
    float d = s[k] - sums.max;
    float d_t = t[k] - sums.teacher_max;
    float power = EXP2(d_t * kl_rate);
    sums.ce += EXP2(d * ce_rate);
    sums.kl += EXP2(d * kl_rate);
    sums.distance += d;
    sums.teacher_kl += power;
    sums.cross += power * (d_t - d);
  }
  return sums;
}

// Step 2: the sums of two parts of a row, brought to the greater of their maxima.
INLINE Sums merge(Sums a, Sums b, float ce_rate, float kl_rate) {
  if (b.count == 0.f) return a;
  if (a.count == 0.f) return b;
  Sums sums;
  sums.count = a.count + b.count;
  sums.max = MAX(a.max, b.max);
  sums.teacher_max = MAX(a.teacher_max, b.teacher_max);
  float drop_a = a.max - sums.max, drop_b = b.max - sums.max;
  float drop_ta = a.teacher_max - sums.teacher_max, drop_tb = b.teacher_max - sums.teacher_max;
  float scale_a = EXP2(drop_ta * kl_rate), scale_b = EXP2(drop_tb * kl_rate);
  sums.ce = a.ce * EXP2(drop_a * ce_rate) + b.ce * EXP2(drop_b * ce_rate);
  sums.kl = a.kl * EXP2(drop_a * kl_rate) + b.kl * EXP2(drop_b * kl_rate);
  sums.distance = a.distance + a.count * drop_a + b.distance + b.count * drop_b;
  sums.teacher_kl = a.teacher_kl * scale_a + b.teacher_kl * scale_b;
  sums.cross = scale_a * (a.cross + a.teacher_kl * (drop_ta - drop_a)) + scale_b * (b.cross + b.teacher_kl * (drop_tb - drop_b));
  return sums;
}

// Step 3: one teacher's part of a row's loss: sum of q (log q - log p). Rounding must not make it negative.
INLINE float row_kl(Sums sums, float temperature) {
  float kl = sums.cross / (temperature * sums.teacher_kl) + LOG(sums.kl / sums.teacher_kl);
  return kl < 0.f && kl > -1.f ? 0.f : kl;
}

// Step 3: the cross-entropy of a row whose label's logit is `on_label`.
INLINE float row_ce(Sums sums, float on_label, float smoothing, uint classes) {
  return LOG(sums.ce) - (1.f - smoothing) * (on_label - sums.max) - smoothing * sums.distance / (float)classes;
}

// Which class the k-th number of a thread's chunk is, and how many numbers the chunk has.
INLINE uint chunk_class(uint start, uint k, uint lane, uint lanes, uint aligned) {
  return aligned ? start + lane * CHUNK + k : start + k * lanes + lane;
}
INLINE uint chunk_count(uint start, uint lane, uint lanes, uint classes, uint aligned) {
  if (aligned) return start + lane * CHUNK < classes ? CHUNK : 0;
  uint first = start + lane;
  if (first >= classes) return 0;
  uint count = (classes - first + lanes - 1) / lanes;
  return count < CHUNK ? count : CHUNK;
}

template <typename Number>
INLINE void load(const GLOBAL Number* row, THREAD float* to, uint start, uint lane, uint lanes, uint count, uint aligned) {
  if (aligned) { // CHUNK neighbours, in reads of 16 bytes
    union { uint4 words[sizeof(Number) * CHUNK / 16]; Number numbers[CHUNK]; } chunk;
    const GLOBAL uint4* from = (const GLOBAL uint4*)(row + start + lane * CHUNK);
    for (uint k = 0; k < sizeof(Number) * CHUNK / 16; ++k) chunk.words[k] = from[k];
    for (uint k = 0; k < CHUNK; ++k) to[k] = wide(chunk.numbers[k]);
  } else {
    for (uint k = 0; k < count; ++k) to[k] = wide(row[start + k * lanes + lane]);
  }
}

INLINE i64 label_of(const GLOBAL uchar* labels, uint bytes, uint row) {
  if (bytes == 1) return labels[row];
  if (bytes == 4) return ((const GLOBAL uint*)labels)[row];
  return ((const GLOBAL i64*)labels)[row];
}

// A row of threads for each row of logits; `shared` has a Sums for each thread. A bad row, whose label is no class, whose
// weight is negative or not finite or whose loss is not finite, gets NaN for its loss and its whole gradient. `total` is the
// sum of the weights. `upstream` is the gradient of whatever was computed from the loss: if it is given, `grad` has the
// gradient already, which is right for rows with an upstream gradient of 1; the others are computed again, and no losses
// are written.
KERNEL void kd_loss_rows(
    const GLOBAL STUDENT* student BUFFER(0), const GLOBAL uchar* labels BUFFER(1), const GLOBAL float* weights BUFFER(2),
    const GLOBAL float* total BUFFER(3), const GLOBAL float* upstream BUFFER(4), CONSTANT Terms& terms BUFFER(5),
    GLOBAL float* losses BUFFER(6), GLOBAL STUDENT* grad BUFFER(7), const GLOBAL TEACHER* teacher_0 BUFFER(8),
    const GLOBAL TEACHER* teacher_1 BUFFER(9), const GLOBAL TEACHER* teacher_2 BUFFER(10),
    const GLOBAL TEACHER* teacher_3 BUFFER(11), const GLOBAL TEACHER* teacher_4 BUFFER(12),
    const GLOBAL TEACHER* teacher_5 BUFFER(13), const GLOBAL TEACHER* teacher_6 BUFFER(14),
    const GLOBAL TEACHER* teacher_7 BUFFER(15),
    SHARED_ARGUMENT(Sums, shared), uint2 position INDEX(thread_position_in_threadgroup),
    uint2 size INDEX(threads_per_threadgroup), uint2 group INDEX(threadgroup_position_in_grid)) {
  const GLOBAL TEACHER* teachers[MOST_TEACHERS] = {teacher_0, teacher_1, teacher_2, teacher_3,
                                                   teacher_4, teacher_5, teacher_6, teacher_7};
  uint lane = position.x, lanes = size.x, line = position.y;
  uint row = group.x * size.y + line;
  SHARED Sums* mine = shared + line * lanes;
  uint here = row < terms.batch;
  uint at = here ? row : 0;

  float above = here && (terms.given & GIVEN_UPSTREAM) ? upstream[row * terms.upstream_step] : 1.f;
  uint done = (terms.given & GIVEN_UPSTREAM) && above == 1.f;
  float weight = terms.scale;
  uint bad = 0;
  if (here && (terms.given & GIVEN_WEIGHTS)) {
    bad = !(weights[row] >= 0.f && is_finite(weights[row]));
    weight *= weights[row];
  }
  i64 label = -1;
  if (here && terms.label_bytes) {
    label = label_of(labels, terms.label_bytes, row);
    if (terms.ignores && label == terms.ignore_index) weight = 0.f;
    else bad |= terms.needs_ce && (label < 0 || label >= (i64)terms.classes);
  }
  if (terms.given & GIVEN_TOTAL) weight = *total > 0.f ? weight / *total : 0.f;
  uint counted = here && !done && !bad && weight != 0.f;

  const GLOBAL STUDENT* s_row = student + (size_t)at * terms.classes;
  float s[CHUNK], t[CHUNK];
  float loss = 0.f;
  Sums sums;
  float teacher_max[MOST_TEACHERS], teacher_share[MOST_TEACHERS];
  uint rounds = terms.teachers ? terms.teachers : 1;
  for (uint teacher = 0; teacher < rounds; ++teacher) {
    sums.count = 0.f;
    const GLOBAL TEACHER* t_row = teachers[teacher] + (size_t)at * terms.classes;
    if (counted) {
      for (uint start = 0; start < terms.classes; start += lanes * CHUNK) {
        uint count = chunk_count(start, lane, lanes, terms.classes, terms.aligned);
        if (count == 0) continue;
        load(s_row, s, start, lane, lanes, count, terms.aligned);
        if (terms.teachers) load(t_row, t, start, lane, lanes, count, terms.aligned);
        else for (uint k = 0; k < count; ++k) t[k] = 0.f;
        sums = merge(sums, chunk_sums(s, t, count, terms.ce_rate, terms.kl_rate), terms.ce_rate, terms.kl_rate);
      }
    }
    mine[lane] = sums;
    BARRIER;
    for (uint half_ = lanes / 2; half_ > 0; half_ /= 2) {
      if (lane < half_) mine[lane] = merge(mine[lane], mine[lane + half_], terms.ce_rate, terms.kl_rate);
      BARRIER;
    }
    sums = mine[0];
    BARRIER; // before the next round writes
    if (counted && terms.teachers) {
      loss += terms.kl[teacher] * row_kl(sums, terms.temperature);
      teacher_max[teacher] = sums.teacher_max;
      teacher_share[teacher] = terms.kl[teacher] / (terms.temperature * sums.teacher_kl);
    }
  }
  if (counted && terms.needs_ce) loss += terms.ce * row_ce(sums, wide(s_row[label]), terms.smoothing, terms.classes);
  loss *= weight;
  if (!here || done) return; // past the last barrier
  bad |= !is_finite(loss);
  if (lane == 0 && !(terms.given & GIVEN_UPSTREAM)) losses[row] = bad ? not_a_number() : loss;

  // Step 4: the row's gradient.
  if (!(terms.given & GIVEN_GRAD)) return;
  float scale = weight * above;
  float kl_share = 0.f;
  for (uint teacher = 0; teacher < terms.teachers; ++teacher) {
    kl_share += scale * terms.kl[teacher] / terms.temperature;
    teacher_share[teacher] *= scale;
  }
  kl_share /= sums.kl;
  float ce_share = terms.needs_ce ? scale * terms.ce : 0.f;
  float flat = ce_share * terms.smoothing / (float)terms.classes;
  float on_label = ce_share * (1.f - terms.smoothing);
  ce_share /= sums.ce;
  GLOBAL STUDENT* g_row = grad + (size_t)row * terms.classes;
  for (uint start = 0; start < terms.classes; start += lanes * CHUNK) {
    uint count = chunk_count(start, lane, lanes, terms.classes, terms.aligned);
    if (count == 0) continue;
    float g[CHUNK];
    for (uint k = 0; k < count; ++k) g[k] = bad ? not_a_number() : 0.f;
    if (counted && !bad) {
      load(s_row, s, start, lane, lanes, count, terms.aligned);
      for (uint k = 0; k < count; ++k) {
        float d = s[k] - sums.max;
        g[k] = ce_share * EXP2(d * terms.ce_rate) + kl_share * EXP2(d * terms.kl_rate) - flat;
      }
      for (uint teacher = 0; teacher < terms.teachers; ++teacher) {
        const GLOBAL TEACHER* t_row = teachers[teacher] + (size_t)row * terms.classes;
        load(t_row, t, start, lane, lanes, count, terms.aligned);
        for (uint k = 0; k < count; ++k) {
          g[k] -= teacher_share[teacher] * EXP2((t[k] - teacher_max[teacher]) * terms.kl_rate);
        }
      }
      if (terms.needs_ce) {
        for (uint k = 0; k < count; ++k) {
          if ((i64)chunk_class(start, k, lane, lanes, terms.aligned) == label) g[k] -= on_label;
        }
      }
    }
    if (terms.aligned) { // in writes of 16 bytes
      union { uint4 words[sizeof(STUDENT) * CHUNK / 16]; STUDENT numbers[CHUNK]; } chunk;
      for (uint k = 0; k < CHUNK; ++k) chunk.numbers[k] = narrow(g[k], STUDENT());
      GLOBAL uint4* to = (GLOBAL uint4*)(g_row + start + lane * CHUNK);
      for (uint k = 0; k < sizeof(STUDENT) * CHUNK / 16; ++k) to[k] = chunk.words[k];
    } else {
      for (uint k = 0; k < count; ++k) g_row[start + k * lanes + lane] = narrow(g[k], STUDENT());
    }
  }
}

// The sum of one number a row, by one block, always in the same order: of `losses`, or if none are given, of the
// weights of the rows that are not ignored.
KERNEL void kd_sum(
    const GLOBAL float* losses BUFFER(0), CONSTANT uint& of_losses BUFFER(1), const GLOBAL uchar* labels BUFFER(2),
    const GLOBAL float* weights BUFFER(3), CONSTANT Terms& terms BUFFER(4), GLOBAL float* sum BUFFER(5),
    SHARED_ARGUMENT(float, parts), uint2 position INDEX(thread_position_in_threadgroup),
    uint2 size INDEX(threads_per_threadgroup)) {
  uint lane = position.x, lanes = size.x;
  float mine = 0.f;
  for (uint row = lane; row < terms.batch; row += lanes) {
    if (of_losses) {
      mine += losses[row];
    } else {
      uint ignored = terms.ignores && label_of(labels, terms.label_bytes, row) == terms.ignore_index;
      mine += ignored ? 0.f : terms.given & GIVEN_WEIGHTS ? weights[row] : 1.f;
    }
  }
  parts[lane] = mine;
  BARRIER;
  for (uint half_ = lanes / 2; half_ > 0; half_ /= 2) {
    if (lane < half_) parts[lane] += parts[lane + half_];
    BARRIER;
  }
  if (lane == 0) *sum = parts[0];
}
