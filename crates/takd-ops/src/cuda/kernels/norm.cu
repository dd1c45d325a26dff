// Normalisation, what follows it, and the ends of a network.
//
// A layer's coefficients are four numbers a channel, one kind after another: the mean, γ / deviation, β, 1 / deviation.
// Kernels over numbers take one a thread; kernels with sums have 32 channels × so many rows of threads, and where they go
// through pixels, blocks along x take about equally many. A layer has fewer than 2^31 numbers.

#define MOST_ROWS 32

// The sums of the block's rows of threads, of each column; on all threads.
INLINE double sum_of_rows(double value, double (*room)[32]) {
  __syncthreads(); // what was read before
  room[threadIdx.y][threadIdx.x] = value;
  __syncthreads();
  double sum = 0.0;
  for (int row = 0; row < blockDim.y; ++row) sum += room[row][threadIdx.x];
  return sum;
}

// The coefficients by the moments that blocks of `conv` left, and the running statistics moved towards them (Ioffe and Szegedy
// 2015, algorithm 1; the unbiased variance, as PyTorch). `bias` may be null: it only moves the mean.
KERNEL void batch_statistics(const float* moments, int blocks, const float* gamma, const float* beta, const float* bias,
                             float* running_mean, float* running_var, long long* batches, int channels, float eps,
                             float momentum, float* coefficients) {
  __shared__ double room[MOST_ROWS][32];
  const int channel = blockIdx.x * 32 + threadIdx.x;
  const bool there = channel < channels;
  double count = 0.0, sum = 0.0, squares = 0.0;
  for (int block = threadIdx.y; there && block < blocks; block += blockDim.y) {
    const float* from = moments + (size_t)block * 3 * channels + channel;
    count += from[0];
    sum += (double)from[0] * from[channels];
  }
  count = sum_of_rows(count, room);
  const double mean = sum_of_rows(sum, room) / count;
  for (int block = threadIdx.y; there && block < blocks; block += blockDim.y) {
    const float* from = moments + (size_t)block * 3 * channels + channel;
    const double distance = from[channels] - mean;
    squares += from[2 * channels] + from[0] * distance * distance;
  }
  squares = sum_of_rows(squares, room);
  if (threadIdx.y != 0 || !there) return;
  const float inverse = (float)(1.0 / sqrt(squares / count + eps));
  coefficients[channel] = (float)mean;
  coefficients[channels + channel] = gamma[channel] * inverse;
  coefficients[2 * channels + channel] = beta[channel];
  coefficients[3 * channels + channel] = inverse;
  const float batch_mean = (float)mean + (bias ? bias[channel] : 0.f);
  running_mean[channel] = running_mean[channel] * (1.f - momentum) + batch_mean * momentum;
  running_var[channel] = running_var[channel] * (1.f - momentum) + (float)(squares / (count - 1.0)) * momentum;
  if (channel == 0) *batches += 1;
}

// The coefficients by the running statistics (algorithm 2).
KERNEL void running_statistics(const float* gamma, const float* beta, const float* bias, const float* running_mean,
                               const float* running_var, int channels, float eps, float* coefficients) {
  const int channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= channels) return;
  const float inverse = (float)(1.0 / sqrt((double)running_var[channel] + eps));
  coefficients[channel] = running_mean[channel] - (bias ? bias[channel] : 0.f);
  coefficients[channels + channel] = gamma[channel] * inverse;
  coefficients[2 * channels + channel] = beta[channel];
  coefficients[3 * channels + channel] = inverse;
}

// Of what follows, as in `layer.rs`.
#define LAZY 0
#define RELU_MAX_POOL 1
#define ADD_RELU 2

// `relu(y + residual)` of `[pixels, channels]`.
KERNEL void add_relu(Activation y, Activation residual, float* output, unsigned count, int channels) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  output[i] = relu(read(y, i, i % channels, channels) + read(residual, i, i % channels, channels));
}

// 2×2 max-pooling of `relu(y)`, `[batch, height, width, channels]`, to `count` numbers. NaN is greater than all.
KERNEL void relu_max_pool(Activation y, float* output, unsigned count, int height, int width, int channels) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int channel = i % channels, out_x = i / channels % (width / 2), out_y = i / channels / (width / 2) % (height / 2);
  const unsigned image = i / channels / (width / 2) / (height / 2);
  const unsigned corner = ((image * height + 2 * out_y) * width + 2 * out_x) * channels + channel;
  float most = relu(read(y, corner, channel, channels));
  for (int k = 1; k < 4; ++k) {
    const float value = relu(read(y, corner + ((unsigned)(k / 2) * width + k % 2) * channels, channel, channels));
    if (value > most || value != value) most = value;
  }
  output[i] = most;
}

// The gradient of the normalised value at `i` by that of what followed.
INLINE float grad_of_normalised(int follow, const Activation& y, const float* output, const float* grad, unsigned i,
                                int height, int width, int channels) {
  const int channel = i % channels;
  if (follow == ADD_RELU) return output[i] > 0.f ? grad[i] : 0.f;
  if (follow == LAZY) return !y.relu || read(y, i, channel, channels) > 0.f ? grad[i] : 0.f;
  const int x = i / channels % width, row = i / channels / width % height;
  const unsigned image = i / channels / width / height;
  if (x / 2 >= width / 2 || row / 2 >= height / 2) return 0.f;
  const unsigned corner = ((image * height + row / 2 * 2) * width + x / 2 * 2) * channels + channel;
  const int mine = row % 2 * 2 + x % 2;
  const float value = read(y, i, channel, channels);
  if (!(value > 0.f)) return 0.f;
  for (int k = 0; k < 4; ++k) { // of equal ones the first, as in PyTorch
    const float other = read(y, corner + ((unsigned)(k / 2) * width + k % 2) * channels, channel, channels);
    if (k < mine ? other >= value : other > value) return 0.f;
  }
  return grad[((image * (height / 2) + row / 2) * (width / 2) + x / 2) * channels + channel];
}

// For each block along x and each channel the sums of the normalised values' gradients, and of those times the values
// before γ and β. Where `normalised_grad` is given, the gradients go there; it may be `grad` where the two are as large.
KERNEL void grad_sums(int follow, Activation y, const float* output, const float* grad, float* normalised_grad,
                      unsigned pixels, int height, int width, int channels, float* sums) {
  __shared__ double room[MOST_ROWS][32];
  const int channel = blockIdx.y * 32 + threadIdx.x;
  const bool there = channel < channels;
  const unsigned share = (pixels + gridDim.x - 1) / gridDim.x;
  const unsigned first = blockIdx.x * share, end = min(first + share, pixels);
  float of_grad = 0.f, of_product = 0.f;
  for (unsigned pixel = first + threadIdx.y; there && pixel < end; pixel += blockDim.y) {
    const unsigned i = pixel * channels + channel;
    const float value = grad_of_normalised(follow, y, output, grad, i, height, width, channels);
    if (normalised_grad) normalised_grad[i] = value;
    of_grad += value;
    of_product += value * (y.values[i] - y.centre[channel]);
  }
  const double sum = sum_of_rows(of_grad, room), product = sum_of_rows(of_product, room);
  if (threadIdx.y != 0 || !there) return;
  float* to = sums + (size_t)blockIdx.x * 2 * channels + channel;
  to[0] = (float)sum;
  to[channels] = (float)(product * y.centre[3 * channels + channel]);
}

// The gradients of γ and β by those sums, and of each channel three numbers that `grad_output` goes by.
KERNEL void grad_coefficients(const float* sums, int blocks, const float* coefficients, unsigned pixels,
                              int channels, float* d_gamma, float* d_beta, float* terms) {
  __shared__ double room[MOST_ROWS][32];
  const int channel = blockIdx.x * 32 + threadIdx.x;
  const bool there = channel < channels;
  double of_grad = 0.0, of_product = 0.0;
  for (int block = threadIdx.y; there && block < blocks; block += blockDim.y) {
    of_grad += sums[(size_t)block * 2 * channels + channel];
    of_product += sums[((size_t)block * 2 + 1) * channels + channel];
  }
  of_grad = sum_of_rows(of_grad, room);
  of_product = sum_of_rows(of_product, room);
  if (threadIdx.y != 0 || !there) return;
  d_gamma[channel] = (float)of_product;
  d_beta[channel] = (float)of_grad;
  const double scale = coefficients[channels + channel], inverse = coefficients[3 * channels + channel];
  terms[channel] = (float)scale;
  terms[channels + channel] = (float)(-scale * inverse * of_product / pixels);
  terms[2 * channels + channel] = (float)(-scale * of_grad / pixels);
}

// The gradient of the convolution's output: scale · (dz − mean dz − x̂ · mean dz·x̂). `grad` is that of the normalised values
// already but for LAZY; `to` may be `grad`.
KERNEL void grad_output(int lazy, Activation y, const float* grad, const float* terms, float* to,
                        unsigned count, int channels) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int channel = i % channels;
  const float value = !lazy || !y.relu || read(y, i, channel, channels) > 0.f ? grad[i] : 0.f;
  const float distance = y.values[i] - y.centre[channel];
  to[i] = terms[channel] * value + (terms[channels + channel] * distance + terms[2 * channels + channel]);
}

// The numbers of an activation, channels last, or where `pixels` is not 0, which is how many an image has, channels first.
KERNEL void numbers(Activation from, float* to, unsigned long long count, int channels, int pixels) {
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

// The way back of `numbers`: gradients channels first, to channels last.
KERNEL void channels_last(const float* from, float* to, unsigned long long count, int channels, int pixels) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const size_t pixel = i / channels;
  to[i] = from[(pixel / pixels * channels + i % channels) * pixels + pixel % pixels];
}

// The mean over an image's pixels, `[batch, channels]`: a block of 32 × 8 threads to 32 channels of an image.
KERNEL void mean_of_pixels(Activation from, float* means, int pixels, int channels) {
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

KERNEL void add(float* to, const float* from, unsigned long long count) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) to[i] += from[i];
}
