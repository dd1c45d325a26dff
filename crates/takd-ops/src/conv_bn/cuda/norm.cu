// Normalisation, what follows it, and their gradients.
//
// A layer's coefficients are four numbers a channel, one kind after another: the mean, γ / deviation, β, 1 / deviation.
// Kernels over numbers have a thread for each. Kernels with sums have 32 channels times some rows of threads; if they go over
// pixels, the blocks along x have about equally many. A layer has fewer than 2^31 numbers.

// The values themselves, for what reads plain numbers.
KERNEL void normalised_values(Values from, float* to, unsigned count, int channels) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) to[i] = read(from, i, i % channels, channels);
}

// For each block along x and each channel of `[pixels, channels]` what `conv` leaves of its outputs: the number of the block's
// pixels, their mean, and the sum of squared distances from it.
KERNEL void moments_of(const float* y, unsigned pixels, int channels, float* moments) {
  __shared__ double room[MOST_ROWS][32];
  const int channel = blockIdx.y * 32 + threadIdx.x;
  const bool there = channel < channels;
  const unsigned share = (pixels + gridDim.x - 1) / gridDim.x;
  // The last blocks may have none.
  const unsigned first = min(blockIdx.x * share, pixels), end = min(first + share, pixels);
  double sum = 0.0;
  for (unsigned pixel = first + threadIdx.y; there && pixel < end; pixel += blockDim.y) sum += y[pixel * channels + channel];
  sum = sum_of_rows(sum, room);
  const float mean = first < end ? (float)(sum / (end - first)) : 0.f;
  float squares = 0.f;
  for (unsigned pixel = first + threadIdx.y; there && pixel < end; pixel += blockDim.y) {
    const float distance = y[pixel * channels + channel] - mean;
    squares += distance * distance;
  }
  const double of_all = sum_of_rows(squares, room);
  if (threadIdx.y != 0 || !there) return;
  float* to = moments + (size_t)blockIdx.x * 3 * channels + channel;
  to[0] = (float)(end - first);
  to[channels] = mean;
  to[2 * channels] = (float)of_all;
}

// The coefficients from the moments that the blocks of `conv` or `moments_of` left. Moves the running statistics towards the moments (Ioffe and
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
#define RELU_MAX_POOL_TWO 1   // of 2×2 pixels
#define RELU_MAX_POOL_THREE 2 // of the 3×3 around every second one
#define ADD_RELU 3

// `relu(y + residual)` of `[pixels, channels]`.
KERNEL void add_relu(Values y, Values residual, float* output, unsigned count, int channels) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  output[i] = relu(read(y, i, i % channels, channels) + read(residual, i, i % channels, channels));
}

// How many windows one side of `size` pixels has, and the first pixel of one and the one after its last.
INLINE int windows(int pool, int size) { return pool == RELU_MAX_POOL_TWO ? size / 2 : (size + 1) / 2; }
INLINE int window_start(int pool, int window) { return pool == RELU_MAX_POOL_TWO ? 2 * window : max(2 * window - 1, 0); }
INLINE int window_end(int window, int size) { return min(2 * window + 2, size); }

// Max-pooling of `relu(y)`, `[batch, height, width, channels]`, to `count` numbers. NaN is greater than all.
KERNEL void relu_max_pool(int pool, Values y, float* output, unsigned count, int height, int width, int channels) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int out_h = windows(pool, height), out_w = windows(pool, width);
  const int channel = i % channels, out_x = i / channels % out_w, out_y = i / channels / out_w % out_h;
  const unsigned image = i / channels / out_w / out_h;
  float most = 0.f; // no number behind a ReLU is less
  for (int row = window_start(pool, out_y); row < window_end(out_y, height); ++row) {
    for (int x = window_start(pool, out_x); x < window_end(out_x, width); ++x) {
      const float value = relu(read(y, ((image * height + row) * width + x) * channels + channel, channel, channels));
      if (value > most || value != value) most = value;
    }
  }
  output[i] = most;
}

// Whether the number at `row` and `x`, `value`, is the first of the largest of a window.
INLINE bool is_first(int pool, const Values& y, float value, int row, int x, int out_y, int out_x, unsigned image,
                     int height, int width, int channel, int channels) {
  for (int other_row = window_start(pool, out_y); other_row < window_end(out_y, height); ++other_row) {
    for (int other_x = window_start(pool, out_x); other_x < window_end(out_x, width); ++other_x) {
      const unsigned at = ((image * height + other_row) * width + other_x) * channels + channel;
      const float other = read(y, at, channel, channels);
      const bool before = other_row < row || (other_row == row && other_x < x);
      if (before ? other >= value : other > value) return false;
    }
  }
  return true;
}

// The gradient of the normalised value at `i` from that of what followed.
INLINE float grad_of_normalised(int then, const Values& y, const float* output, const float* grad, unsigned i,
                                int height, int width, int channels) {
  const int channel = i % channels;
  if (then == ADD_RELU) return output[i] > 0.f ? grad[i] : 0.f;
  if (then == ACTIVATION) return !y.relu || read(y, i, channel, channels) > 0.f ? grad[i] : 0.f;
  const int x = i / channels % width, row = i / channels / width % height;
  const unsigned image = i / channels / width / height;
  const float value = read(y, i, channel, channels);
  if (!(value > 0.f)) return 0.f;
  // Windows of three have every second pixel in common with their neighbours.
  const int more = then == RELU_MAX_POOL_THREE, out_h = windows(then, height), out_w = windows(then, width);
  float sum = 0.f;
  for (int out_y = row / 2; out_y <= (row + more) / 2 && out_y < out_h; ++out_y) {
    for (int out_x = x / 2; out_x <= (x + more) / 2 && out_x < out_w; ++out_x) {
      if (is_first(then, y, value, row, x, out_y, out_x, image, height, width, channel, channels)) {
        sum += grad[((image * out_h + out_y) * out_w + out_x) * channels + channel];
      }
    }
  }
  return sum;
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
