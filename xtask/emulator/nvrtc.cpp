// libnvrtc: "PTX" is the source after the preprocessor. It is compiled at once, so that errors come from here.
#include "compile.h"
#include <cstring>

struct Program {
  std::string source, name, log, ptx;
};
enum { SUCCESS = 0, OUT_OF_MEMORY = 1, COMPILATION = 6 };

#define ENTRY extern "C" __attribute__((visibility("default")))

ENTRY int nvrtcCreateProgram(Program** to, const char* source, const char* name, int, const char* const*, const char* const*) {
  return *to = new Program{source, name ? name : "kernel.cu", "", ""}, SUCCESS;
}
ENTRY int nvrtcDestroyProgram(Program** program) { return delete *program, *program = nullptr, SUCCESS; }
ENTRY int nvrtcCompileProgram(Program* program, int count, const char* const* options) {
  std::string flags, generation = "75";
  for (int i = 0; i < count; ++i) {
    std::string option = options[i], value = option.substr(option.find('=') + 1);
    if (option.compare(0, 2, "-D") == 0 || option.compare(0, 2, "-I") == 0) flags += " '" + option + "'";
    else if (option.compare(0, 15, "--define-macro=") == 0) flags += " '-D" + value + "'";
    else if (option.compare(0, 15, "--include-path=") == 0) flags += " '-I" + value + "'";
    else if (option.compare(0, 19, "--gpu-architecture=") == 0 || option.compare(0, 6, "-arch=") == 0) {
      generation = value.substr(value.find('_') + 1);
      while (!generation.empty() && !isdigit((unsigned char)generation.back())) generation.pop_back();
    }
  }
  std::string from = temporary(".cu"), to = temporary(".i");
  std::ofstream(from) << "# 1 \"" << program->name << "\"\n" << program->source;
  bool done = run(compiler() + " -E -x c++ -std=c++17 -nostdinc -nostdinc++ -I" TAKD_EMULATOR_INCLUDE " -DTAKD_EMULATOR -D__CUDACC__"
                  " -D__CUDACC_RTC__ -D__CUDACC_VER_MAJOR__=13 -D__CUDACC_VER_MINOR__=0 -D__CUDA_ARCH__=" + generation + "0" +
                  flags + " " + from + " -o " + to, program->log);
  std::string text = read_file(to);
  unlink(from.c_str());
  unlink(to.c_str());
  if (!done || compile(text, program->log).empty()) return COMPILATION;
  program->ptx = MAGIC + text;
  return SUCCESS;
}
ENTRY int nvrtcGetPTXSize(Program* program, size_t* size) { return *size = program->ptx.size() + 1, SUCCESS; }
ENTRY int nvrtcGetPTX(Program* program, char* to) { return memcpy(to, program->ptx.c_str(), program->ptx.size() + 1), SUCCESS; }
ENTRY int nvrtcGetCUBINSize(Program* program, size_t* size) { return nvrtcGetPTXSize(program, size); }
ENTRY int nvrtcGetCUBIN(Program* program, char* to) { return nvrtcGetPTX(program, to); }
ENTRY int nvrtcGetProgramLogSize(Program* program, size_t* size) { return *size = program->log.size() + 1, SUCCESS; }
ENTRY int nvrtcGetProgramLog(Program* program, char* to) { return memcpy(to, program->log.c_str(), program->log.size() + 1), SUCCESS; }
ENTRY int nvrtcVersion(int* major, int* minor) { return *major = 13, *minor = 0, SUCCESS; }
ENTRY const char* nvrtcGetErrorString(int error) { return error == SUCCESS ? "NVRTC_SUCCESS" : "NVRTC_ERROR_COMPILATION"; }
