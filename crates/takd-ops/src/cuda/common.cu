// What the kernels share. Features are `[images, height, width, channels]`, f32. A product that is added to something is
// written as a fused multiply-add if its rounding matters, so that every compiler gives the same bits.

#define KERNEL extern "C" __global__
#define INLINE __device__ static __forceinline__

// Numbers, or what they are computed from when they are read: (number - centre) * scale + shift of its channel, which
// loses nothing if the mean is far greater than the deviation.
struct Values {
  const float* numbers;
  const float* centre; // null: the numbers themselves; else four coefficients a channel, one kind after another
  int relu;
};

// ReLU that lets NaN through.
INLINE float relu(float x) { return x < 0.f ? 0.f : x; }

INLINE float normalised(const Values& from, float value, int channel, int channels) {
  if (from.centre) {
    value = fmaf(value - from.centre[channel], from.centre[channels + channel], from.centre[2 * channels + channel]);
    if (from.relu) value = relu(value);
  }
  return value;
}

INLINE float read(const Values& from, size_t at, int channel, int channels) {
  return normalised(from, from.numbers[at], channel, channels);
}

#define MOST_ROWS 32

// The sum over the block's rows of threads for each column; returned to all threads.
INLINE double sum_of_rows(double value, double (*room)[32]) {
  __syncthreads(); // until the sum before has been read
  room[threadIdx.y][threadIdx.x] = value;
  __syncthreads();
  double sum = 0.0;
  for (int row = 0; row < blockDim.y; ++row) sum += room[row][threadIdx.x];
  return sum;
}
