// The inputs that a tile of outputs sees, in shared memory: channel by channel, so that a thread reads pixels of a row side by
// side.
//
// Macros: K_H, K_W, STRIDE; a tile is TILE_N images of TILE_H × TILE_W outputs, powers of two, TILE_W at least 4. PRECISION 1
// rounds to TF32, 10 bits behind the point, as tensor cores do.

#define TAPS (K_H * K_W)
#define RUN 4 // outputs side by side that one thread takes
#define PIXELS (TILE_N * TILE_H * TILE_W)
#define PATCH_H ((TILE_H - 1) * STRIDE + K_H)
#define PATCH_W ((TILE_W - 1) * STRIDE + K_W)
// What a thread reads of a row, in fours, and how long that makes the rows.
#define SPAN (((RUN - 1) * STRIDE + K_W + 3) / 4 * 4)
#define PATCH_ROW ((TILE_W - RUN) * STRIDE + SPAN)
#define PATCH_NUMBERS (TILE_N * PATCH_H * PATCH_ROW)

INLINE float rounded(float x) {
#if PRECISION == 0
  return x;
#else
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return __uint_as_float(bits);
#endif
}

// Reads four neighbouring channels of a pixel into four rows of `to`; zeros for those that do not exist.
INLINE void read_four(const Values& from, bool there, size_t pixel, int channel, int channels, float* to, int row) {
  float values[4] = {0.f, 0.f, 0.f, 0.f};
  if (there && channels % 4 == 0 && channel < channels) {
    const float4 four = *(const float4*)(from.numbers + pixel * channels + channel);
    values[0] = four.x, values[1] = four.y, values[2] = four.z, values[3] = four.w;
  }
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    if (there && channel + j < channels) {
      if (channels % 4 != 0) values[j] = from.numbers[pixel * channels + channel + j];
      values[j] = rounded(normalised(from, values[j], channel + j, channels));
    }
    to[j * row] = values[j];
  }
}

struct Images {
  int batch, height, width, channels;
};

// Reads `chunk` channels from `channel` on, of the tile's images from row `top` and column `left` on, into a patch of `size`
// numbers a channel. The images have `dilation - 1` rows and columns of zeros between their own, and zeros around them.
INLINE void read_patch(const Values& from, Images of, int chunk, int channel, int image, int top, int left,
                       int dilation, float* patch, int size) {
  for (int i = threadIdx.x; i < TILE_N * PATCH_H * PATCH_W * (chunk / 4); i += blockDim.x) {
    const int quad = i % (chunk / 4) * 4, place = i / (chunk / 4);
    const int patch_x = place % PATCH_W, patch_y = place / PATCH_W % PATCH_H, n = place / PATCH_W / PATCH_H;
    const int y = top + patch_y, x = left + patch_x;
    const bool there = image + n < of.batch && y >= 0 && x >= 0 && y % dilation == 0 && x % dilation == 0 &&
                       y / dilation < of.height && x / dilation < of.width;
    const size_t pixel = ((size_t)(image + n) * of.height + y / dilation) * of.width + x / dilation;
    read_four(from, there, pixel, channel + quad, of.channels,
              patch + quad * size + (n * PATCH_H + patch_y) * PATCH_ROW + patch_x, size);
  }
}

// The tile of a block, by its number.
struct Tile {
  int image, y, x;
};

INLINE int tiles_of(Images of) {
  return (of.width + TILE_W - 1) / TILE_W * ((of.height + TILE_H - 1) / TILE_H) * ((of.batch + TILE_N - 1) / TILE_N);
}

INLINE Tile tile_of(int number, Images of) {
  const int tiles_x = (of.width + TILE_W - 1) / TILE_W, tiles_y = (of.height + TILE_H - 1) / TILE_H;
  return {number / tiles_x / tiles_y * TILE_N, number / tiles_x % tiles_y * TILE_H, number % tiles_x * TILE_W};
}

#if PRECISION == 1
// d += a · b of 16 × 8 and 8 × 8 numbers that a warp's threads have parts of, as PTX lays them out: with g = lane / 4 and
// t = lane % 4, a is of rows g and g + 8 in columns t, then in t + 4; b of rows t and t + 4 in column g; d of row g in columns
// 2t and 2t + 1, then of row g + 8.
INLINE void multiply(float* d, const unsigned* a, const unsigned* b) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif
