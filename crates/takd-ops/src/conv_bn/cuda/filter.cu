// The gradient of a convolution's weights: for each pair of channels and each tap of the kernel, the sum over all pixels of
// an input times an output's gradient.
//
// Macros: those of `tile.cu`; tiles are of the output's gradient. The kernel has KERNEL_H rows, of which a block has K_H, the
// number that `tile.cu` knows: a thread has sums for all of the block's taps in registers. A block has SIDE_OUT × SIDE_IN
// channels, 256 pairs, in TF32 16 × 16, and every gridDim.x-th tile. Each PART of its threads takes a part of a tile's pixels, a
// thread two channels of each kind, or in TF32 a warp all the channels. Sums are added in a fixed order: part by part, then
// block by block.

#define GROUPS ((KERNEL_H + K_H - 1) / K_H) // of the kernel's rows
#if PRECISION == 0
#define PART 64
#define STEP RUN // pixels taken at once
#define MOST_PARTS 4
#else
#define PART 32
#define STEP 8
#define MOST_PARTS 8
#endif
#define STEPS (PIXELS / STEP)
#define PARTS (STEPS < MOST_PARTS ? STEPS : MOST_PARTS)
#define THREADS (PARTS * PART)
#define SUMS (SIDE_OUT * SIDE_IN * TAPS / PART)
// Eight channels are read at once in different banks.
#define PATCH ((PATCH_NUMBERS + 31) / 32 * 32 + 4)
#define GRAD_ROW (PIXELS + 4)
#define READ (SIDE_IN * PATCH + SIDE_OUT * GRAD_ROW)
#define ROOM (READ > PART * SUMS ? READ : PART * SUMS)

// Where in a channel of the patch begins what a pixel of the tile sees.
INLINE int corner_of(int pixel) {
  const int row = pixel / TILE_W / TILE_H * PATCH_H + pixel / TILE_W % TILE_H * STRIDE;
  return row * PATCH_ROW + pixel % TILE_W * STRIDE;
}

// `input` is `[batch, height, width, c_in]`, `grad` `[batch, out_h, out_w, c_out]`; `parts` gets for each block along x its
// sums, `[c_out, c_in, K_H, K_W]`.
KERNEL void __launch_bounds__(THREADS)
filter_parts(Values input, const float* grad, float* parts, int batch, int height, int width, int c_in, int out_h,
             int out_w, int c_out, int padding) {
  __shared__ __align__(16) float room[ROOM];
  float* patch = room;
  float* grads = room + SIDE_IN * PATCH;
  const Values of_grad = {grad, 0, 0};
  const Images from = {batch, height, width, c_in}, out = {batch, out_h, out_w, c_out};
  const int first_out = blockIdx.y * SIDE_OUT, first_in = blockIdx.z / GROUPS * SIDE_IN;
  const int first_row = blockIdx.z % GROUPS * K_H;
  const int part = threadIdx.x / PART;
  // The first of a thread's channels; the others are half a side further. In TF32 as the product needs them.
#if PRECISION == 0
  const int o = threadIdx.x % PART / (SIDE_IN / 2), c = threadIdx.x % (SIDE_IN / 2);
#else
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#endif

  float sums[SUMS];
#pragma unroll
  for (int i = 0; i < SUMS; ++i) sums[i] = 0.f;
  for (int number = blockIdx.x; number < tiles_of(out); number += gridDim.x) {
    const Tile tile = tile_of(number, out);
    __syncthreads(); // the tile before has been read
    const int top = tile.y * STRIDE - padding + first_row, left = tile.x * STRIDE - padding;
    read_patch(input, from, SIDE_IN, first_in, tile.image, top, left, 1, patch, PATCH);
    for (int i = threadIdx.x; i < PIXELS * (SIDE_OUT / 4); i += THREADS) {
      const int quad = i % (SIDE_OUT / 4) * 4, place = i / (SIDE_OUT / 4);
      const int x = tile.x + place % TILE_W, y = tile.y + place / TILE_W % TILE_H;
      const int image = tile.image + place / TILE_W / TILE_H;
      const bool there = image < batch && y < out_h && x < out_w;
      read_four(of_grad, there, ((size_t)image * out_h + y) * out_w + x, first_out + quad, c_out,
                grads + quad * GRAD_ROW + place, GRAD_ROW);
    }
    __syncthreads();
#pragma unroll 1
    for (int step = part; step < STEPS; step += PARTS) {
#if PRECISION == 0
      const float* corner = patch + corner_of(step * STEP);
      float above[2][RUN];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const float4 four = *(const float4*)(grads + (o + SIDE_OUT / 2 * j) * GRAD_ROW + step * STEP);
        above[j][0] = four.x, above[j][1] = four.y, above[j][2] = four.z, above[j][3] = four.w;
      }
#pragma unroll
      for (int k_y = 0; k_y < K_H; ++k_y) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float seen[SPAN];
#pragma unroll
          for (int s = 0; s < SPAN; s += 4) {
            const float4 four = *(const float4*)(corner + (c + SIDE_IN / 2 * i) * PATCH + k_y * PATCH_ROW + s);
            seen[s] = four.x, seen[s + 1] = four.y, seen[s + 2] = four.z, seen[s + 3] = four.w;
          }
#pragma unroll
          for (int k_x = 0; k_x < K_W; ++k_x) {
            const int tap = k_y * K_W + k_x;
#pragma unroll
            for (int r = 0; r < RUN; ++r) {
              sums[i * TAPS + tap] = fmaf(above[0][r], seen[r * STRIDE + k_x], sums[i * TAPS + tap]);
              sums[(2 + i) * TAPS + tap] = fmaf(above[1][r], seen[r * STRIDE + k_x], sums[(2 + i) * TAPS + tap]);
            }
          }
        }
      }
#else
      const float* above = grads + g * GRAD_ROW + step * STEP + t;
      const unsigned a[4] = {__float_as_uint(above[0]), __float_as_uint(above[8 * GRAD_ROW]), __float_as_uint(above[4]),
                             __float_as_uint(above[8 * GRAD_ROW + 4])};
      const float* first = patch + g * PATCH + corner_of(step * STEP + t);
      const float* second = patch + g * PATCH + corner_of(step * STEP + t + 4);
#pragma unroll
      for (int tap = 0; tap < TAPS; ++tap) {
        const int at = tap / K_W * PATCH_ROW + tap % K_W;
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const unsigned b[2] = {__float_as_uint(first[j * 8 * PATCH + at]), __float_as_uint(second[j * 8 * PATCH + at])};
          multiply(sums + (j * TAPS + tap) * 4, a, b);
        }
      }
#endif
    }
  }

  for (int other = 1; other < PARTS; ++other) {
    __syncthreads(); // what was read or added before
#pragma unroll
    for (int i = 0; i < SUMS; ++i) {
      if (part == other) room[i * PART + threadIdx.x % PART] = sums[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < SUMS; ++i) {
      if (part == 0) sums[i] += room[i * PART + threadIdx.x];
    }
  }
  if (part != 0) return;
  float* to = parts + (size_t)blockIdx.x * c_out * c_in * KERNEL_H * K_W;
#pragma unroll
  for (int i = 0; i < SUMS; ++i) {
#if PRECISION == 0
    const int out_channel = first_out + o + i / TAPS / 2 * (SIDE_OUT / 2);
    const int in_channel = first_in + c + i / TAPS % 2 * (SIDE_IN / 2), tap = i % TAPS;
#else
    const int out_channel = first_out + g + i % 4 / 2 * 8, in_channel = first_in + i / 4 / TAPS * 8 + 2 * t + i % 2;
    const int tap = i / 4 % TAPS;
#endif
    if (out_channel < c_out && in_channel < c_in && first_row + tap / K_W < KERNEL_H) {
      to[(((size_t)out_channel * c_in + in_channel) * KERNEL_H + first_row) * K_W + tap] = sums[i];
    }
  }
}

// Adds up the `blocks` parts of each of `count` weights. A block of 32 × 8 threads has 32 weights.
KERNEL void filter_sum(const float* parts, int blocks, int count, float* grad) {
  __shared__ float sums[8][32];
  const int weight = blockIdx.x * 32 + threadIdx.x;
  float sum = 0.f;
  for (int block = threadIdx.y; block < blocks && weight < count; block += 8) sum += parts[(size_t)block * count + weight];
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || weight >= count) return;
  for (int y = 1; y < 8; ++y) sum += sums[y][threadIdx.x];
  grad[weight] = sum;
}
