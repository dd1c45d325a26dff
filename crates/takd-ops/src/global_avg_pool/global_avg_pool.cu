// The mean over an image's pixels, `[batch, channels]`: a block of 32 × 8 threads for 32 channels of an image.
KERNEL void mean_of_pixels(Values from, float* means, int pixels, int channels) {
  __shared__ double room[MOST_ROWS][32];
  const int channel = blockIdx.y * 32 + threadIdx.x;
  const size_t image = blockIdx.x;
  float sum = 0.f;
  for (int pixel = threadIdx.y; channel < channels && pixel < pixels; pixel += blockDim.y) {
    sum += read(from, (image * pixels + pixel) * channels + channel, channel, channels);
  }
  const double of_all = sum_of_rows(sum, room);
  if (threadIdx.y == 0 && channel < channels) means[image * channels + channel] = (float)(of_all / pixels);
}

// Its gradient.
KERNEL void spread_over_pixels(const float* grad, float* to, unsigned long long count, int pixels, int channels) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  to[i] = grad[i / channels / pixels * channels + i % channels] / pixels;
}
