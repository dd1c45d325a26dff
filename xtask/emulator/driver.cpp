// libcuda: one device, whose memory is the host's. Whatever is asked for is done at once, in the order of the calls.
//
// A buffer ends, but for alignment, where a page begins that cannot be touched, and its addresses are never used again:
// an access past its end or after its release is a fault at the place that makes it. New memory is all NaN.
#include "compile.h"
#include "launch.h"
#include <chrono>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstring>
#include <dlfcn.h>
#include <execinfo.h>
#include <map>
#include <mutex>
#include <sys/mman.h>

typedef uint64_t Address;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_IMAGE = 200, NOT_FOUND = 500, NOT_SUPPORTED = 801 };
static const size_t PAGE = sysconf(_SC_PAGESIZE);
static const size_t ALIGN = 16, SPACE = (size_t)1 << 43, MEMORY = (size_t)80 << 30;
static const size_t MOST_SHARED = 227 << 10, PLAIN_SHARED = 48 << 10, STACK = 256 << 10;
static const unsigned char FRESH = 0xff;

struct Function {
  std::string name;
  void (*start)(Launch*);
  unsigned most_threads;
  unsigned most_shared = PLAIN_SHARED;
};
struct Module {
  std::string path;
  void* library;
  std::map<std::string, Function> functions;
};

static std::recursive_mutex lock;
#define LOCKED std::lock_guard<std::recursive_mutex> locked(lock)

// What is being done, for messages.
static std::string last = "nothing";
static Launch* running;
static Function* function;

// ---- messages ----

[[noreturn]] static void fail(const char* what) {
  fprintf(stderr, "\nemulator: %s\n", what);
  if (running) {
    dim3 grid = running->grid, block = running->block;
    fprintf(stderr, "  in kernel %s, grid %u x %u x %u of blocks %u x %u x %u, %zu bytes of shared memory\n", function->name.c_str(),
            grid.x, grid.y, grid.z, block.x, block.y, block.z, running->shared_bytes);
    if (running->at_block) {
      uint3 b = *running->at_block, t = *running->at_thread;
      fprintf(stderr, "  block (%u, %u, %u), thread (%u, %u, %u)\n", b.x, b.y, b.z, t.x, t.y, t.z);
    }
    // Where: the frames that lie in a kernel's library.
    void* frames[24];
    int count = backtrace(frames, 24);
    for (int i = 0; i < count; ++i) {
      Dl_info info;
      if (!dladdr(frames[i], &info) || !info.dli_fname || !strstr(info.dli_fname, TAKD_EMULATOR_CACHE)) continue;
      char command[600];
      snprintf(command, sizeof command, "addr2line -e %s 0x%zx 1>&2", info.dli_fname, (size_t)((char*)frames[i] - (char*)info.dli_fbase));
      if (system(command) != 0) break;
    }
  } else {
    fprintf(stderr, "  after %s\n", last.c_str());
  }
  signal(SIGABRT, SIG_DFL);
  abort();
}
static void failf(const char* format, ...) {
  char what[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  fail(what);
}

// ---- memory ----

struct Buffer {
  char* pages;
  size_t page_bytes, bytes;
};
typedef std::map<Address, Buffer> Buffers; // by where they begin
static Buffers buffers, released;          // of the released ones the latest
static char *space, *space_next;
static size_t used;

static void check_guards(Address at, const Buffer& buffer) {
  const unsigned char* guard = (unsigned char*)buffer.pages;
  const unsigned char* end = guard + buffer.page_bytes;
  for (; guard < (unsigned char*)at; ++guard) {
    if (*guard != FRESH) failf("%zu bytes before the start of a buffer of %zu bytes were written to", (size_t)((unsigned char*)at - guard), buffer.bytes);
  }
  for (guard = (unsigned char*)at + buffer.bytes; guard < end; ++guard) {
    if (*guard != FRESH) failf("past the end of a buffer of %zu bytes was written to", buffer.bytes);
  }
}
static void check_all() {
  for (auto& [at, buffer] : buffers) check_guards(at, buffer);
}

// The buffer an address lies in, or in the page before or behind; null where there is none.
static const Buffers::value_type* buffer_of(const Buffers& buffers, Address at) {
  auto found = buffers.upper_bound(at + PAGE);
  while (found != buffers.begin()) {
    --found;
    auto pages = (Address)found->second.pages;
    if (at > pages + found->second.page_bytes + PAGE) break;
    if (at >= pages) return &*found;
  }
  return nullptr;
}

static int allocate(Address* to, size_t bytes) {
  LOCKED;
  if (used + bytes > MEMORY) return OUT_OF_MEMORY;
  size_t page_bytes = (bytes + PAGE - 1) / PAGE * PAGE;
  if (space_next + page_bytes + PAGE > space + SPACE) return OUT_OF_MEMORY;
  char* pages = space_next;
  space_next += page_bytes + PAGE;
  if (mprotect(pages, page_bytes, PROT_READ | PROT_WRITE) != 0) return OUT_OF_MEMORY;
  memset(pages, FRESH, page_bytes);
  *to = (Address)(pages + page_bytes - (bytes + ALIGN - 1) / ALIGN * ALIGN);
  buffers[*to] = {pages, page_bytes, bytes};
  used += bytes;
  return SUCCESS;
}

static int release(Address at) {
  LOCKED;
  if (at == 0) return SUCCESS;
  auto found = buffers.find(at);
  if (found == buffers.end()) failf("0x%zx is released, and is no buffer's address", (size_t)at);
  Buffer buffer = found->second;
  check_guards(at, buffer);
  madvise(buffer.pages, buffer.page_bytes, MADV_DONTNEED);
  mprotect(buffer.pages, buffer.page_bytes, PROT_NONE);
  used -= buffer.bytes;
  buffers.erase(found);
  released[at] = buffer;
  if (released.size() > 1 << 16) released.erase(released.begin());
  return SUCCESS;
}

// Ends the program where some of the bytes are no buffer's.
static void need(Address at, size_t bytes, const char* what) {
  if (bytes == 0) return;
  auto found = buffer_of(buffers, at);
  if (!found && buffer_of(released, at)) failf("%s: at a buffer that was released", what);
  if (!found) failf("%s: 0x%zx is no address of the device", what, (size_t)at);
  size_t offset = at - found->first;
  if (offset + bytes > found->second.bytes) failf("%s: %zu bytes at %zd of a buffer of %zu", what, bytes, offset, found->second.bytes);
}

static void at_argument(int index, const void* pointer) {
  auto at = (Address)pointer;
  if (at == 0 || buffer_of(buffers, at)) return;
  if (buffer_of(released, at)) failf("argument %d is a pointer to a buffer that was released", index);
  failf("argument %d is a pointer, and %p is no address of the device", index, pointer);
}

static void on_fault(int signal_number, siginfo_t* info, void*) {
  signal(signal_number, SIG_DFL);
  char* at = (char*)info->si_addr;
  if (signal_number == SIGILL || signal_number == SIGTRAP) {
    if (running) fail("an index out of a local or shared array, or a vector that is not aligned");
    return;
  }
  if (space <= at && at < space + SPACE) {
    auto found = buffer_of(buffers, (Address)at);
    if (found) failf("access at byte %zd of a buffer of %zu bytes", at - (char*)found->first, found->second.bytes);
    found = buffer_of(released, (Address)at);
    if (found) failf("access to a buffer of %zu bytes that was released", found->second.bytes);
    failf("access at %p, far from any buffer", at);
  }
  if (running) {
    char* shared_end = running->shared + running->shared_bytes;
    if (running->shared - PAGE <= at && at < shared_end + 2 * PAGE) failf("access at byte %td of dynamic shared memory", at - running->shared);
    failf("access at %p, which is no memory of the device (or the stack of %zu KiB is too small)", at, STACK >> 10);
  }
  // Not ours: the same again, with what the signal does without us.
}

static void start_up() {
  static std::once_flag once;
  std::call_once(once, [] {
    space = space_next = (char*)mmap(nullptr, SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) failf("cannot reserve %zu bytes of addresses", SPACE);
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int signal_number : {SIGSEGV, SIGBUS, SIGILL, SIGTRAP}) sigaction(signal_number, &action, nullptr);
  });
}

// For the libraries beside this one: they are about to touch this memory.
void need_device(const void* at, size_t bytes, const char* what) {
  LOCKED;
  last = what;
  need((Address)at, bytes, what);
}

// ---- the entry points ----

#define ENTRY extern "C" __attribute__((visibility("default"))) int
typedef void* Handle;

ENTRY cuInit(unsigned) { return start_up(), SUCCESS; }
ENTRY cuDriverGetVersion(int* version) { return *version = 13000, SUCCESS; }
ENTRY cuGetErrorName(int error, const char** name) {
  static const std::map<int, const char*> names = {
      {SUCCESS, "CUDA_SUCCESS"}, {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"}, {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
      {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"}, {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"}, {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
      {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"}};
  auto found = names.find(error);
  *name = found == names.end() ? "an error" : found->second;
  return SUCCESS;
}
ENTRY cuGetErrorString(int error, const char** text) { return cuGetErrorName(error, text); }

ENTRY cuDeviceGetCount(int* count) { return *count = 1, SUCCESS; }
ENTRY cuDeviceGet(int* device, int ordinal) { return *device = ordinal, ordinal == 0 ? SUCCESS : INVALID_DEVICE; }
ENTRY cuDeviceGetName(char* name, int length, int) { return snprintf(name, length, "takd emulator"), SUCCESS; }
ENTRY cuDeviceGetUuid_v2(char* uuid, int) { return memset(uuid, 0, 16), SUCCESS; }
ENTRY cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = MEMORY, SUCCESS; }
ENTRY cuDeviceGetAttribute(int* value, int attribute, int) {
  // Those of cuda.h's CUdevice_attribute that say something; an H100's.
  static const std::map<int, int> values = {
      {1, 1024}, {2, 1024}, {3, 1024}, {4, 64}, {5, INT32_MAX}, {6, 65535}, {7, 65535}, {8, PLAIN_SHARED}, {9, 65536}, {10, 32},
      {12, 65536}, {13, 1980000}, {16, 132}, {19, 1}, {31, 1}, {36, 2619000}, {37, 5120}, {38, 50 << 20}, {39, 2048}, {41, 1},
      {75, 9}, {76, 0}, {81, 228 << 10}, {82, 65536}, {97, MOST_SHARED}, {106, 32}, {111, 1024}, {115, 1}};
  auto found = values.find(attribute);
  *value = found == values.end() ? 0 : found->second;
  return SUCCESS;
}

static thread_local Handle context;
static char the_context;
ENTRY cuDevicePrimaryCtxRetain(Handle* to, int) { return *to = &the_context, SUCCESS; }
ENTRY cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
ENTRY cuCtxSetCurrent(Handle given) { return context = given, SUCCESS; }
ENTRY cuCtxGetCurrent(Handle* to) { return *to = context, SUCCESS; }
ENTRY cuCtxDestroy_v2(Handle) { return NOT_SUPPORTED; }
ENTRY cuCtxSetFlags(unsigned) { return SUCCESS; }
ENTRY cuCtxSynchronize() {
  LOCKED;
  return check_all(), SUCCESS;
}
ENTRY cuCtxGetStreamPriorityRange(int* least, int* greatest) { return *least = 0, *greatest = -5, SUCCESS; }

ENTRY cuStreamCreate(Handle* to, unsigned) { return *to = new char, SUCCESS; }
ENTRY cuStreamCreateWithPriority(Handle* to, unsigned, int) { return *to = new char, SUCCESS; }
ENTRY cuStreamDestroy_v2(Handle stream) { return delete (char*)stream, SUCCESS; }
ENTRY cuStreamSynchronize(Handle) { return cuCtxSynchronize(); }
ENTRY cuStreamWaitEvent(Handle, Handle, unsigned) { return SUCCESS; }
ENTRY cuStreamIsCapturing(Handle, int* status) { return *status = 0, SUCCESS; }
ENTRY cuStreamQuery(Handle) { return SUCCESS; }
ENTRY cuLaunchHostFunc(Handle, void (*function)(void*), void* data) { return function(data), SUCCESS; }

typedef std::chrono::steady_clock::time_point Time;
ENTRY cuEventCreate(Handle* to, unsigned) { return *to = new Time, SUCCESS; }
ENTRY cuEventDestroy_v2(Handle event) { return delete (Time*)event, SUCCESS; }
ENTRY cuEventRecord(Handle event, Handle) { return *(Time*)event = std::chrono::steady_clock::now(), SUCCESS; }
ENTRY cuEventQuery(Handle) { return SUCCESS; }
ENTRY cuEventSynchronize(Handle) { return SUCCESS; }
ENTRY cuEventElapsedTime_v2(float* ms, Handle from, Handle to) {
  return *ms = std::chrono::duration<float, std::milli>(*(Time*)to - *(Time*)from).count(), SUCCESS;
}

ENTRY cuMemAlloc_v2(Address* to, size_t bytes) { return bytes ? allocate(to, bytes) : INVALID_VALUE; }
ENTRY cuMemAllocAsync(Address* to, size_t bytes, Handle) { return *to = 0, bytes ? allocate(to, bytes) : SUCCESS; }
ENTRY cuMemFree_v2(Address at) { return release(at); }
ENTRY cuMemFreeAsync(Address at, Handle) { return release(at); }
ENTRY cuMemHostAlloc(void** to, size_t bytes, unsigned) { return *to = malloc(bytes), SUCCESS; }
ENTRY cuMemFreeHost(void* at) { return free(at), SUCCESS; }
ENTRY cuMemGetInfo_v2(size_t* available, size_t* total) { return *available = MEMORY - used, *total = MEMORY, SUCCESS; }

// Freed memory is never kept, whatever the pool is told: a use after it is to be seen.
ENTRY cuDeviceGetDefaultMemPool(Handle* to, int) { return *to = &the_context, SUCCESS; }
ENTRY cuMemPoolSetAttribute(Handle, int, void*) { return SUCCESS; }

ENTRY cuMemcpyHtoD_v2(Address to, const void* from, size_t bytes) {
  return need_device((void*)to, bytes, "copy to the device"), memcpy((void*)to, from, bytes), SUCCESS;
}
ENTRY cuMemcpyDtoH_v2(void* to, Address from, size_t bytes) {
  cuCtxSynchronize();
  return need_device((void*)from, bytes, "copy from the device"), memcpy(to, (void*)from, bytes), SUCCESS;
}
ENTRY cuMemcpyDtoD_v2(Address to, Address from, size_t bytes) {
  need_device((void*)from, bytes, "copy on the device, from");
  return need_device((void*)to, bytes, "copy on the device, to"), memmove((void*)to, (void*)from, bytes), SUCCESS;
}
ENTRY cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, Handle) { return cuMemcpyHtoD_v2(to, from, bytes); }
ENTRY cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, Handle) { return cuMemcpyDtoH_v2(to, from, bytes); }
ENTRY cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, Handle) { return cuMemcpyDtoD_v2(to, from, bytes); }
ENTRY cuMemcpyPeerAsync(Address, Handle, Address, Handle, size_t, Handle) { return NOT_SUPPORTED; }
ENTRY cuMemsetD8_v2(Address to, unsigned char value, size_t bytes) {
  return need_device((void*)to, bytes, "memset"), memset((void*)to, value, bytes), SUCCESS;
}
ENTRY cuMemsetD8Async(Address to, unsigned char value, size_t bytes, Handle) { return cuMemsetD8_v2(to, value, bytes); }

ENTRY cuModuleLoadData(Module** to, const char* image) {
  LOCKED;
  if (strncmp(image, MAGIC, sizeof MAGIC - 1) != 0) {
    fprintf(stderr, "emulator: a module that is no kernel's source: build with `cargo xtask emulate-cuda`\n");
    return INVALID_IMAGE;
  }
  std::string log, path = compile(image + sizeof MAGIC - 1, log);
  void* library = path.empty() ? nullptr : dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "emulator: a module cannot be loaded: %s\n", path.empty() ? log.c_str() : dlerror());
    return INVALID_IMAGE;
  }
  *to = new Module{path, library, {}};
  return SUCCESS;
}
ENTRY cuModuleLoad(Module** to, const char* path) { return cuModuleLoadData(to, read_file(path).c_str()); }
// Libraries stay: another module may be of the same text.
ENTRY cuModuleUnload(Module*) { return SUCCESS; }
ENTRY cuModuleGetFunction(Function** to, Module* module, const char* name) {
  LOCKED;
  Function& function = module->functions[name];
  if (!function.start) {
    auto start = (void (*)(Launch*))dlsym(module->library, (std::string("takd_launch_") + name).c_str());
    auto bound = (const unsigned*)dlsym(module->library, (std::string("takd_bound_") + name).c_str());
    if (!start || !bound) {
      fprintf(stderr, "emulator: no kernel %s in %s\n", name, module->path.c_str());
      return NOT_FOUND;
    }
    function.name = name;
    function.start = start;
    function.most_threads = *bound;
  }
  *to = &function;
  return SUCCESS;
}
ENTRY cuFuncSetAttribute(Function* function, int attribute, int value) {
  if (attribute != 8) return SUCCESS; // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
  if (value < 0 || (size_t)value > MOST_SHARED) return INVALID_VALUE;
  return function->most_shared = value, SUCCESS;
}
ENTRY cuFuncGetAttribute(int* value, int attribute, Function* function) {
  return *value = attribute == 0 ? function->most_threads : attribute == 8 ? function->most_shared : 0, SUCCESS;
}
ENTRY cuFuncSetCacheConfig(Function*, int) { return SUCCESS; }
ENTRY cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function*, int threads, size_t) { return *blocks = 2048 / threads, SUCCESS; }
ENTRY cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, Function*, int threads, size_t, unsigned) {
  return *blocks = 2048 / threads, SUCCESS;
}
ENTRY cuOccupancyMaxPotentialBlockSize(int* grid, int* block, Function* function, size_t (*)(int), size_t, int) {
  return *grid = 132, *block = function->most_threads, SUCCESS;
}

ENTRY cuLaunchKernel(Function* what, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                     Handle, void** arguments, void**) {
  LOCKED;
  static char *stacks, *shared_end;
  if (!stacks) {
    auto map = [](size_t bytes) { return (char*)mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); };
    stacks = map(1024 * STACK);
    for (int i = 0; i < 1024; ++i) mprotect(stacks + i * STACK, PAGE, PROT_NONE);
    char* memory = map(MOST_SHARED / PAGE * PAGE + 3 * PAGE);
    shared_end = memory + MOST_SHARED / PAGE * PAGE + 2 * PAGE;
    mprotect(shared_end, PAGE, PROT_NONE);
  }
  Launch launch = {};
  launch.grid = {gx, gy, gz}, launch.block = {bx, by, bz};
  launch.shared_bytes = shared;
  launch.shared = shared_end - ((size_t)shared + ALIGN - 1) / ALIGN * ALIGN;
  launch.arguments = arguments, launch.argument = at_argument;
  launch.stacks = stacks, launch.stack_bytes = STACK;
  launch.fail = fail;
  running = &launch, function = what;
  last = "kernel " + what->name;
  if (shared > what->most_shared) failf("more shared memory than the %u bytes allowed; cuFuncSetAttribute allows more", what->most_shared);
  size_t threads = (size_t)bx * by * bz;
  if (threads == 0 || threads > what->most_threads || bz > 64) failf("a block of this kernel has 1 to %u threads, at most 64 along z", what->most_threads);
  if (gx == 0 || gy == 0 || gz == 0 || gx > INT32_MAX || gy > 65535 || gz > 65535) fail("not a grid that can be launched");
  what->start(&launch);
  running = nullptr;
  return SUCCESS;
}
