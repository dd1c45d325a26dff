// Convolution as direct sums. The gradient of its input is one too: a convolution of the output's gradient.
//
// Macros: those of `tile.cu`; a block takes BLOCK_C channels of its tile's outputs, a thread RUN pixels side by side and
// THREAD_C channels of each, or in TF32 a warp 32 pixels and all the channels. CHUNK is a multiple of 4, in TF32 8.
//
// CHUNK channels at a time, a block reads into shared memory what its pixels see, and the weights; each thread then goes
// through the kernel's rows, whose columns share what it reads. An output is one sum, in the same order for every tile:
// channel by channel, row by row, column by column.

#define WARP_PIXELS 32
#if PRECISION == 0
#define RUNS (PIXELS / RUN)
#define THREADS (RUNS * (BLOCK_C / THREAD_C))
#define PATCH PATCH_NUMBERS
#define WEIGHTS_ROW (BLOCK_C + 4)
// Threads of a warp whose outputs are of the same channels, and warps that have these channels.
#define LANES (RUNS < 32 ? RUNS : 32)
#define WARPS (RUNS / LANES)
#else
#define THREADS (PIXELS / WARP_PIXELS * 32)
// What a warp's threads read at once, four channels or taps apart, is in different banks.
#define PATCH ((PATCH_NUMBERS + 23) / 32 * 32 + 8)
#define WEIGHTS_ROW (BLOCK_C + 8)
#define WARPS (PIXELS / WARP_PIXELS)
#endif

// Reads a chunk's weights, `[c_out, c_in, K_H, K_W]`, or if they are `flipped`, for the gradient, `[c_in, c_out, K_H, K_W]`
// backwards, into rows of BLOCK_C: those of channel c and tap k into row c · TAPS + k, in TF32 into row k · CHUNK + c.
INLINE void read_weights(const float* weight, int flipped, int chunk, int c_in, int first, int c_out, float* weights) {
  for (int i = threadIdx.x; i < CHUNK * TAPS * BLOCK_C; i += THREADS) {
    // Neighbours in memory for neighbouring threads.
    const int c = flipped ? i / (TAPS * BLOCK_C) : i / TAPS % CHUNK;
    const int n = flipped ? i / TAPS % BLOCK_C : i / TAPS / CHUNK;
    const int channel = chunk + c, to = first + n, tap = flipped ? TAPS - 1 - i % TAPS : i % TAPS;
    float value = 0.f;
    if (channel < c_in && to < c_out) {
      value = weight[(flipped ? (size_t)channel * c_out + to : (size_t)to * c_in + channel) * TAPS + i % TAPS];
    }
    weights[(PRECISION == 0 ? c * TAPS + tap : tap * CHUNK + c) * WEIGHTS_ROW + n] = rounded(value);
  }
}

// `values` is overwritten, or added to if `add` is 1. `moments`, if given, gets for each block and channel the number of
// outputs, their mean, and the sum of squared distances from it.
// At least one block per processor: with a higher bound the compiler would spill to memory.
KERNEL void __launch_bounds__(THREADS, 1)
conv(Values input, const float* weight, float* values, float* moments, int add, int flipped, int batch, int height,
     int width, int c_in, int out_h, int out_w, int c_out, int pad_y, int pad_x, int dilation) {
  __shared__ __align__(16) float patch[CHUNK * PATCH];
  __shared__ __align__(16) float weights[CHUNK * TAPS * WEIGHTS_ROW];
  __shared__ float of_warps[WARPS][BLOCK_C + 1];

  const Images from = {batch, height, width, c_in}, out = {batch, out_h, out_w, c_out};
  const Tile tile = tile_of(blockIdx.x, out);
  const int first = blockIdx.y * BLOCK_C;
#if PRECISION == 0
  const int run = threadIdx.x % RUNS, group = threadIdx.x / RUNS * THREAD_C;
  const int run_x = run % (TILE_W / RUN) * RUN, run_y = run / (TILE_W / RUN) % TILE_H;
  const int run_image = run / (TILE_W / RUN) / TILE_H;
  const int corner = (run_image * PATCH_H + run_y * STRIDE) * PATCH_ROW + run_x * STRIDE;
  float sums[RUN][THREAD_C];
#pragma unroll
  for (int i = 0; i < RUN * THREAD_C; ++i) sums[i / THREAD_C][i % THREAD_C] = 0.f;
#else
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  // A thread's pixels: g and g + 8 in each half of the warp's.
  int corners[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int pixel = warp * WARP_PIXELS + i * 8 + g;
    const int row = pixel / TILE_W / TILE_H * PATCH_H + pixel / TILE_W % TILE_H * STRIDE;
    corners[i] = row * PATCH_ROW + pixel % TILE_W * STRIDE;
  }
  float sums[2][BLOCK_C / 8][4];
#pragma unroll
  for (int i = 0; i < BLOCK_C; ++i) sums[i / (BLOCK_C / 2)][i / 4 % (BLOCK_C / 8)][i % 4] = 0.f;
#endif

  for (int chunk = 0; chunk < c_in; chunk += CHUNK) {
    __syncthreads(); // the chunk before has been read
    read_patch(input, from, CHUNK, chunk, tile.image, tile.y * STRIDE - pad_y, tile.x * STRIDE - pad_x, dilation, patch, PATCH);
    read_weights(weight, flipped, chunk, c_in, first, c_out, weights);
    __syncthreads();
#if PRECISION == 0
#pragma unroll 1
    for (int c = 0; c < min(CHUNK, c_in - chunk); ++c) {
#pragma unroll
      for (int k_y = 0; k_y < K_H; ++k_y) {
        float seen[SPAN];
#pragma unroll
        for (int i = 0; i < SPAN; i += 4) {
          const float4 four = *(const float4*)(patch + c * PATCH + corner + k_y * PATCH_ROW + i);
          seen[i] = four.x, seen[i + 1] = four.y, seen[i + 2] = four.z, seen[i + 3] = four.w;
        }
#pragma unroll
        for (int k_x = 0; k_x < K_W; ++k_x) {
          const float* row = weights + (c * TAPS + k_y * K_W + k_x) * WEIGHTS_ROW + group;
#pragma unroll
          for (int j = 0; j < THREAD_C; j += 4) {
            const float4 four = *(const float4*)(row + j);
#pragma unroll
            for (int i = 0; i < RUN; ++i) {
              const float value = seen[i * STRIDE + k_x];
              sums[i][j] = fmaf(value, four.x, sums[i][j]);
              sums[i][j + 1] = fmaf(value, four.y, sums[i][j + 1]);
              sums[i][j + 2] = fmaf(value, four.z, sums[i][j + 2]);
              sums[i][j + 3] = fmaf(value, four.w, sums[i][j + 3]);
            }
          }
        }
      }
    }
#else
#pragma unroll 1
    for (int tap = 0; tap < TAPS; ++tap) {
      const float* seen = patch + tap / K_W * PATCH_ROW + tap % K_W;
      unsigned a[2][4];
#pragma unroll
      for (int i = 0; i < 8; ++i) { // columns t, then t + 4
        const int half = i / 4, row = i % 2, column = i / 2 % 2;
        a[half][i % 4] = __float_as_uint(seen[(t + 4 * column) * PATCH + corners[2 * half + row]]);
      }
#pragma unroll
      for (int j = 0; j < BLOCK_C / 8; ++j) {
        const float* row = weights + (tap * CHUNK + t) * WEIGHTS_ROW + j * 8 + g;
        const unsigned b[2] = {__float_as_uint(row[0]), __float_as_uint(row[4 * WEIGHTS_ROW])};
        multiply(sums[0][j], a[0], b);
        multiply(sums[1][j], a[1], b);
      }
    }
#endif
  }

#if PRECISION == 0
  const int image = tile.image + run_image, y = tile.y + run_y, x = tile.x + run_x, channel = first + group;
  const int there = image < batch && y < out_h ? max(min(out_w - x, RUN), 0) : 0;
#pragma unroll
  for (int i = 0; i < RUN; ++i) {
    float* to = values + (((size_t)image * out_h + y) * out_w + x + i) * c_out + channel;
#pragma unroll
    for (int j = 0; j < THREAD_C; j += 4) {
      if (i >= there) {
      } else if (c_out % 4 == 0 && channel + j < c_out) {
        float4 four = make_float4(sums[i][j], sums[i][j + 1], sums[i][j + 2], sums[i][j + 3]);
        if (add) {
          const float4 old = *(const float4*)(to + j);
          four.x += old.x, four.y += old.y, four.z += old.z, four.w += old.w;
        }
        *(float4*)(to + j) = four;
      } else {
#pragma unroll
        for (int k = j; k < j + 4; ++k) {
          if (channel + k < c_out) to[k] = add ? to[k] + sums[i][k] : sums[i][k];
        }
      }
    }
  }
#define COUNT RUN
#define CHANNELS THREAD_C
#define THERE(i) (i < there)
#define SUM(i, j) sums[i][j]
#define CHANNEL(j) (group + j)
#define OF_LANES(value) \
  for (int distance = LANES / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance)
  const int of_warp = run / LANES, leads = threadIdx.x % LANES == 0, counts = leads && group == 0;
#else
  bool there[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int pixel = warp * WARP_PIXELS + i * 8 + g;
    const int x = tile.x + pixel % TILE_W, y = tile.y + pixel / TILE_W % TILE_H;
    const int image = tile.image + pixel / TILE_W / TILE_H;
    there[i] = image < batch && y < out_h && x < out_w;
    float* to = values + (((size_t)image * out_h + y) * out_w + x) * c_out;
#pragma unroll
    for (int j = 0; j < BLOCK_C / 8; ++j) {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const int channel = first + j * 8 + 2 * t + k;
        const float sum = sums[i / 2][j][i % 2 * 2 + k];
        if (there[i] && channel < c_out) to[channel] = add ? to[channel] + sum : sum;
      }
    }
  }
#define COUNT 4
#define CHANNELS (BLOCK_C / 4)
#define THERE(i) there[i]
#define SUM(i, j) sums[i / 2][j / 2][i % 2 * 2 + j % 2]
#define CHANNEL(j) (j / 2 * 8 + 2 * t + j % 2)
#define OF_LANES(value) \
  for (int distance = 4; distance < 32; distance *= 2) value += __shfl_xor_sync(~0u, value, distance)
  const int of_warp = warp, leads = g == 0, counts = leads && t == 0;
#endif

  if (!moments) return;
  float count = 0.f, means[CHANNELS];
#pragma unroll
  for (int i = 0; i < COUNT; ++i) count += THERE(i);
  OF_LANES(count);
  if (counts) of_warps[of_warp][BLOCK_C] = count;
#pragma unroll
  for (int pass = 0; pass < 2; ++pass) { // the mean, then the distances from it
#pragma unroll
    for (int j = 0; j < CHANNELS; ++j) {
      float sum = 0.f;
#pragma unroll
      for (int i = 0; i < COUNT; ++i) {
        if (THERE(i)) sum += pass ? (SUM(i, j) - means[j]) * (SUM(i, j) - means[j]) : SUM(i, j);
      }
      OF_LANES(sum);
      if (leads) of_warps[of_warp][CHANNEL(j)] = sum;
    }
    __syncthreads();
    if (pass == 0) {
      count = 0.f;
      for (int w = 0; w < WARPS; ++w) count += of_warps[w][BLOCK_C];
    }
#pragma unroll
    for (int j = 0; j < CHANNELS; ++j) {
      float sum = 0.f;
      for (int w = 0; w < WARPS; ++w) sum += of_warps[w][CHANNEL(j)];
      if (pass == 0) means[j] = sum / count;
      if (of_warp == 0 && leads && first + CHANNEL(j) < c_out) {
        float* to = moments + (size_t)blockIdx.x * 3 * c_out + first + CHANNEL(j);
        to[0] = count;
        if (pass == 0) to[c_out] = means[j];
        else to[2 * c_out] = sum;
      }
    }
    __syncthreads(); // before the next pass writes
  }
}
