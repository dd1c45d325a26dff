// Features to and from plain numbers, one a thread.

// The numbers of features: channels first if `pixels`, the number of an image's pixels, is given; channels last if it is 0.
KERNEL void numbers(Values from, float* to, unsigned long long count, int channels, int pixels) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int channel = i % channels;
  const float value = read(from, i, channel, channels);
  if (pixels == 0) {
    to[i] = value;
  } else {
    const size_t pixel = i / channels;
    to[(pixel / pixels * channels + channel) * pixels + pixel % pixels] = value;
  }
}

// Undoes `numbers` for a gradient: channels first to channels last.
KERNEL void channels_last(const float* from, float* to, unsigned long long count, int channels, int pixels) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const size_t pixel = i / channels;
  to[i] = from[(pixel / pixels * channels + i % channels) * pixels + pixel % pixels];
}

KERNEL void add(float* to, const float* from, unsigned long long count) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) to[i] += from[i];
}
