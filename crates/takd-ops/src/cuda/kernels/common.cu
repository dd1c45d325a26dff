// What the kernels share. An activation is `[images, height, width, channels]`, f32. Products that are added to something are
// written as fused multiply-adds where their rounding decides anything, so that every compiler makes the same bits.

#define KERNEL extern "C" __global__
#define INLINE __device__ static __forceinline__

// Numbers, or what they are computed from where they are read: (value - centre) * scale + shift of its channel, which
// loses nothing where the mean is far greater than the deviation.
struct Activation {
  const float* values;
  const float* centre; // null: the values themselves; else four numbers a channel, one kind after another
  int relu;
};

// ReLU that lets NaN through.
INLINE float relu(float x) { return x < 0.f ? 0.f : x; }

INLINE float normalised(const Activation& from, float value, int channel, int channels) {
  if (from.centre) {
    value = fmaf(value - from.centre[channel], from.centre[channels + channel], from.centre[2 * channels + channel]);
    if (from.relu) value = relu(value);
  }
  return value;
}

INLINE float read(const Activation& from, size_t at, int channel, int channels) {
  return normalised(from, from.values[at], channel, channels);
}
