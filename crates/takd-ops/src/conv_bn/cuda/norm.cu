// Normalisation, what follows it, and their gradients.
//
// A layer's coefficients are four numbers a channel, one kind after another: the mean, γ / deviation, β, 1 / deviation.
// Kernels over numbers have a thread for each. Kernels with sums have 32 channels times some rows of threads; if they go over
// pixels, the blocks along x have about equally many. A layer has fewer than 2^31 numbers.

// The coefficients from the moments that the blocks of `conv` left. Moves the running statistics towards the moments (Ioffe and
// Szegedy 2015, algorithm 1; the unbiased variance, as in PyTorch). `bias` may be null: it only moves the mean.
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

// The coefficients from the running statistics (algorithm 2).
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

// What follows the normalisation, as in `norm.rs`.
#define ACTIVATION 0 // at most ReLU, left to the reader
#define RELU_MAX_POOL 1
#define ADD_RELU 2

// `relu(y + residual)` of `[pixels, channels]`.
KERNEL void add_relu(Values y, Values residual, float* output, unsigned count, int channels) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  output[i] = relu(read(y, i, i % channels, channels) + read(residual, i, i % channels, channels));
}

// 2×2 max-pooling of `relu(y)`, `[batch, height, width, channels]`, to `count` numbers. NaN is greater than all.
KERNEL void relu_max_pool(Values y, float* output, unsigned count, int height, int width, int channels) {
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

// The gradient of the normalised value at `i` from that of what followed.
INLINE float grad_of_normalised(int then, const Values& y, const float* output, const float* grad, unsigned i,
                                int height, int width, int channels) {
  const int channel = i % channels;
  if (then == ADD_RELU) return output[i] > 0.f ? grad[i] : 0.f;
  if (then == ACTIVATION) return !y.relu || read(y, i, channel, channels) > 0.f ? grad[i] : 0.f;
  const int x = i / channels % width, row = i / channels / width % height;
  const unsigned image = i / channels / width / height;
  if (x / 2 >= width / 2 || row / 2 >= height / 2) return 0.f;
  const unsigned corner = ((image * height + row / 2 * 2) * width + x / 2 * 2) * channels + channel;
  const int mine = row % 2 * 2 + x % 2;
  const float value = read(y, i, channel, channels);
  if (!(value > 0.f)) return 0.f;
  for (int k = 0; k < 4; ++k) { // of equal numbers the first, as in PyTorch
    const float other = read(y, corner + ((unsigned)(k / 2) * width + k % 2) * channels, channel, channels);
    if (k < mine ? other >= value : other > value) return 0.f;
  }
  return grad[((image * (height / 2) + row / 2) * (width / 2) + x / 2) * channels + channel];
}

// For each block along x and each channel the sum of the normalised values' gradients, and of those times the values
// before γ and β. `normalised_grad`, if given, gets the gradients; it may be `grad` if the two are as large.
KERNEL void grad_sums(int then, Values y, const float* output, const float* grad, float* normalised_grad,
                      unsigned pixels, int height, int width, int channels, float* sums) {
  __shared__ double room[MOST_ROWS][32];
  const int channel = blockIdx.y * 32 + threadIdx.x;
  const bool there = channel < channels;
  const unsigned share = (pixels + gridDim.x - 1) / gridDim.x;
  const unsigned first = blockIdx.x * share, end = min(first + share, pixels);
  float of_grad = 0.f, of_product = 0.f;
  for (unsigned pixel = first + threadIdx.y; there && pixel < end; pixel += blockDim.y) {
    const unsigned i = pixel * channels + channel;
    const float value = grad_of_normalised(then, y, output, grad, i, height, width, channels);
    if (normalised_grad) normalised_grad[i] = value;
    of_grad += value;
    of_product += value * (y.numbers[i] - y.centre[channel]);
  }
  const double sum = sum_of_rows(of_grad, room), product = sum_of_rows(of_product, room);
  if (threadIdx.y != 0 || !there) return;
  float* to = sums + (size_t)blockIdx.x * 2 * channels + channel;
  to[0] = (float)sum;
  to[channels] = (float)(product * y.centre[3 * channels + channel]);
}

// The gradients of γ and β from those sums, and three numbers per channel for `grad_output`.
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

// The gradient of the convolution's output: scale · (dz − mean dz − x̂ · mean dz·x̂). `grad` is that of the layer's output if
// `activation` is 1, else that of the normalised values; `to` may be `grad`.
KERNEL void grad_output(int activation, Values y, const float* grad, const float* terms, float* to,
                        unsigned count, int channels) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int channel = i % channels;
  const float value = !activation || !y.relu || read(y, i, channel, channels) > 0.f ? grad[i] : 0.f;
  const float distance = y.numbers[i] - y.centre[channel];
  to[i] = terms[channel] * value + (terms[channels + channel] * distance + terms[2 * channels + channel]);
}
