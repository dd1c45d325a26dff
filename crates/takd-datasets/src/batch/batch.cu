// A batch on CUDA: a block to an image. Crops, mirrors and normalises as `Window::fill` does, by the same table, so that every
// bit is the same, and takes the image's label along.

#ifndef BATCH_SHIM // on a CPU, in tests, a shim says what this means
#define KERNEL extern "C" __global__
#endif

// `pixels` [n, height, width, 3] and `labels` [n] are all images; `table` [3, 256] is what a byte of each channel becomes.
// `drawn` begins with the index of the batch's first image; `drawn_count` further on lie the tops of the windows, then their
// left sides (both signed), then whether they are mirrored.
KERNEL void make_batch(const unsigned char* pixels, const unsigned* labels, const float* table, const unsigned* drawn,
                       unsigned drawn_count, unsigned height, unsigned width, float* batch, unsigned* batch_labels) {
  const unsigned long long count = drawn_count;
  const unsigned row = blockIdx.x, index = drawn[row];
  const int top = (int)drawn[count + row], left = (int)drawn[2 * count + row];
  const unsigned mirrored = drawn[3 * count + row];
  const unsigned size = height * width * 3;
  const unsigned char* image = pixels + (unsigned long long)index * size;
  float* seen = batch + (unsigned long long)row * size;
  for (unsigned i = threadIdx.x; i < size; i += blockDim.x) {
    const unsigned channel = i % 3, pixel = i / 3;
    const unsigned x = pixel % width, y = pixel / width;
    // Beyond either end when taken for unsigned: one comparison says that it lies outside.
    const unsigned from_y = y + (unsigned)top, from_x = (mirrored ? width - 1 - x : x) + (unsigned)left;
    const bool inside = from_y < height && from_x < width;
    seen[i] = table[256 * channel + (inside ? image[(from_y * width + from_x) * 3 + channel] : 0)]; // else black
  }
  if (threadIdx.x == 0) batch_labels[row] = labels[index];
}
