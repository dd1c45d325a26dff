// A batch on CUDA, one block for each image. Crops, mirrors and normalises as `Window::fill` does, with the same table, so that
// every bit is the same, and copies the image's label.

#ifndef BATCH_SHIM // the tests' shim, which runs this on a CPU, defines it itself
#define KERNEL extern "C" __global__
#endif

// `pixels` [n, height, width, 3] and `labels` [n] are all images; `table` [3, 256] is what a byte of each channel becomes.
// `windows` begins with the indices of the batch's images; `count` words further on lie the tops of their windows, then, each
// `count` words further on, their left sides (both signed) and whether they are mirrored.
KERNEL void make_batch(const unsigned char* pixels, const unsigned* labels, const float* table, const unsigned* windows,
                       unsigned count, unsigned height, unsigned width, float* batch, unsigned* batch_labels) {
  const unsigned long long step = count;
  const unsigned row = blockIdx.x, index = windows[row];
  const int top = (int)windows[step + row], left = (int)windows[2 * step + row];
  const unsigned mirrored = windows[3 * step + row];
  const unsigned size = height * width * 3;
  const unsigned char* image = pixels + (unsigned long long)index * size;
  float* seen = batch + (unsigned long long)row * size;
  for (unsigned i = threadIdx.x; i < size; i += blockDim.x) {
    const unsigned channel = i % 3, pixel = i / 3;
    const unsigned x = pixel % width, y = pixel / width;
    // As unsigned numbers, places before the image lie far behind it: one comparison finds both.
    const unsigned from_y = y + (unsigned)top, from_x = (mirrored ? width - 1 - x : x) + (unsigned)left;
    const bool inside = from_y < height && from_x < width;
    seen[i] = table[256 * channel + (inside ? image[(from_y * width + from_x) * 3 + channel] : 0)]; // else black
  }
  if (threadIdx.x == 0) batch_labels[row] = labels[index];
}
