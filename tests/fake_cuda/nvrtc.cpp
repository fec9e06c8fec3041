// A fake NVRTC: the "machine code" of a kernel is a library for the processor, made by the C++ compiler.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

namespace {
struct Program { std::string text, log, image; };

std::string read(const std::string &path) {
    std::string all;
    if (FILE *file = fopen(path.c_str(), "rb")) {
        char part[1 << 16];
        for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;) all.append(part, n);
        fclose(file);
    }
    return all;
}
int number(const char *name, int usual) {
    const char *set = getenv(name);
    return set ? atoi(set) : usual;
}
const int ARCHITECTURES[] = {50, 60, 70, 75, 80, 86, 89, 90, 100, 120};
}

extern "C" {
int nvrtcVersion(int *major, int *minor) {
    int version = number("FAKE_NVRTC_VERSION", 1208);
    *major = version / 100, *minor = version % 100;
    return 0;
}
int nvrtcGetNumSupportedArchs(int *count) {
    *count = sizeof ARCHITECTURES / sizeof *ARCHITECTURES;
    return 0;
}
int nvrtcGetSupportedArchs(int *all) {
    memcpy(all, ARCHITECTURES, sizeof ARCHITECTURES);
    return 0;
}
const char *nvrtcGetErrorString(int code) { return code == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR_INVALID_INPUT"; }
int nvrtcCreateProgram(Program **program, const char *text, const char *, int, const char *const *, const char *const *) {
    *program = new Program{text, "", ""};
    return 0;
}
int nvrtcCompileProgram(Program *program, int count, const char *const *options) {
    bool architecture = false;
    for (int i = 0; i < count; i++) architecture |= strncmp(options[i], "--gpu-architecture=sm_", 22) == 0;
    if (!architecture) return 3;
    std::string base = std::filesystem::temp_directory_path() / "fake-cuda-XXXXXX";
    if (!mkdtemp(&base[0])) return 3;
    std::string source = base + "/kernel.cpp", image = base + "/kernel.so", log = base + "/log";
    FILE *file = fopen(source.c_str(), "wb");
    fprintf(file, "#include \"%s/meaning.h\"\n#line 1 \"kernel.cu\"\n%s\n#include \"%s/entry.h\"\n", FAKE_SOURCES,
            program->text.c_str(), FAKE_SOURCES);
    fclose(file);
    std::string command = std::string(FAKE_COMPILER) + " -std=c++17 -O1 -ffp-contract=off -w -shared -fPIC -fvisibility-inlines-hidden " + source + " -o " + image +
                          " >" + log + " 2>&1";
    int status = system(command.c_str());
    program->log = read(log);
    program->image = read(image);
    for (const std::string &path : {source, image, log}) unlink(path.c_str());
    rmdir(base.c_str());
    // Who counts compilations reads this file.
    if (const char *count = getenv("FAKE_COMPILED")) {
        if (FILE *file = fopen(count, "ab")) {
            fputc('.', file);
            fclose(file);
        }
    }
    return status == 0 && !program->image.empty() ? 0 : 6;
}
int nvrtcGetProgramLogSize(Program *program, size_t *size) { return *size = program->log.size() + 1, 0; }
int nvrtcGetProgramLog(Program *program, char *to) { return memcpy(to, program->log.c_str(), program->log.size() + 1), 0; }
int nvrtcGetCUBINSize(Program *program, size_t *size) { return *size = program->image.size(), 0; }
int nvrtcGetCUBIN(Program *program, char *to) { return memcpy(to, program->image.data(), program->image.size()), 0; }
int nvrtcDestroyProgram(Program **program) {
    delete *program;
    *program = nullptr;
    return 0;
}
}
