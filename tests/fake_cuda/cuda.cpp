// A fake driver of NVIDIA's: cards that are this processor. Commands wait in their stream until somebody waits for them, so
// that reading too early shows; memory that was freed, or written past its ends, is an error.
//
// Variables that make it other than it is: FAKE_ORDER (forward, reverse, shuffled: in which order threads of a block take
// turns), FAKE_CARDS, FAKE_ARCHITECTURE (75 for sm_75), FAKE_DRIVER (12080 for CUDA 12.8), FAKE_MEMORY (bytes that a card
// has), FAKE_LOST (the number of the kernel at which the card is lost).
#include "fibers.h"
#include <dlfcn.h>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unistd.h>

namespace {
using namespace fake;
enum Code {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
    INVALID_IMAGE = 200, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719, ECC_UNCORRECTABLE = 214,
};
using Pointer = unsigned long long;

long number(const char *name, long usual) {
    const char *set = getenv(name);
    return set && *set ? atol(set) : usual;
}

constexpr size_t GUARD = 64;
constexpr unsigned char FRESH = 0xff, FENCE = 0xa5, FREED = 0xdd;

struct Memory { size_t bytes; bool freed; };
struct Module {
    void *library;
    Kernel kernel;
    std::vector<unsigned> sizes;
};
struct Stream { std::vector<std::function<void()>> commands; };

// All that the driver knows, of one card or several.
struct State {
    std::recursive_mutex mutex;
    bool started = false;
    int retained = 0;
    long launches = 0;
    Code fault = SUCCESS;
    std::map<Pointer, Memory> memory;
    std::vector<Pointer> freed;
    size_t held = 0, kept = 0;
    int context = 0;
};
State &state() {
    static State *all = new State;
    return *all;
}
thread_local void *current = nullptr;
using Lock = std::lock_guard<std::recursive_mutex>;

char *inside(Pointer at) { return reinterpret_cast<char *>(at); }

Code fail(Code code, const std::string &why) {
    fprintf(stderr, "fake CUDA: %s\n", why.c_str());
    return state().fault = code;
}
// The memory that has all these bytes.
std::map<Pointer, Memory>::iterator holder(Pointer at, size_t bytes) {
    auto &all = state().memory;
    auto it = all.upper_bound(at);
    if (it == all.begin()) return all.end();
    --it;
    bool holds = at >= it->first && at + bytes <= it->first + it->second.bytes && !it->second.freed;
    return holds ? it : all.end();
}
bool fenced(Pointer at, size_t bytes) {
    for (size_t i = 0; i < GUARD; i++)
        if ((unsigned char)inside(at)[-1 - (long)i] != FENCE || (unsigned char)inside(at)[bytes + i] != FENCE) return false;
    return true;
}
void run(Stream &stream) {
    std::vector<std::function<void()>> commands;
    std::swap(commands, stream.commands);
    for (auto &command : commands)
        if (state().fault == SUCCESS) command();
}
// The state in which a call finds the driver.
Code ready() {
    if (!state().started) return NOT_INITIALIZED;
    if (!current || !state().retained) return INVALID_CONTEXT;
    return state().fault;
}
Code add(Stream *stream, std::function<void()> command) {
    Lock lock(state().mutex);
    if (Code code = ready()) return code;
    if (!stream) return INVALID_HANDLE;
    stream->commands.push_back(std::move(command));
    return SUCCESS;
}
void give_back(Pointer at) {
    auto &all = state();
    auto it = all.memory.find(at);
    free(inside(at) - GUARD);
    all.kept -= it->second.bytes;
    all.memory.erase(it);
}
void release(Pointer at) {
    auto &all = state();
    auto it = all.memory.find(at);
    if (it == all.memory.end() || it->second.freed) return (void)fail(ILLEGAL_ADDRESS, "memory is freed that is none");
    if (!fenced(at, it->second.bytes)) return (void)fail(ILLEGAL_ADDRESS, "something wrote past the ends of an array");
    memset(inside(at), FREED, it->second.bytes);
    it->second.freed = true;
    all.held -= it->second.bytes;
    all.kept += it->second.bytes;
    all.freed.push_back(at);
    // Kept for a while, so that its place is not that of other memory at once.
    size_t most = 32 << 20, i = 0;
    for (; all.kept > most && i < all.freed.size(); i++) give_back(all.freed[i]);
    all.freed.erase(all.freed.begin(), all.freed.begin() + i);
}
Order order() {
    const char *set = getenv("FAKE_ORDER");
    std::string named = set ? set : "forward";
    return named == "reverse" ? Order::Reverse : named == "shuffled" ? Order::Shuffled : Order::Forward;
}
void launch(const Module &module, Three grid, Three dim, std::vector<std::vector<char>> given) {
    auto &all = state();
    std::vector<void *> parameters;
    std::vector<Pointer> arrays;
    for (size_t i = 0; i < given.size(); i++) {
        parameters.push_back(given[i].data());
        if (module.sizes[i]) continue;
        Pointer at;
        memcpy(&at, given[i].data(), sizeof at);
        auto it = holder(at, 1);
        if (it == all.memory.end()) return (void)fail(ILLEGAL_ADDRESS, "a kernel gets an array that is no memory of the card");
        arrays.push_back(it->first);
    }
    block.kernel = &module.kernel;
    block.given = parameters.data();
    Order how = order();
    unsigned count = grid.x * grid.y * grid.z;
    for (unsigned i = 0; i < count; i++) {
        unsigned b = how == Order::Reverse ? count - 1 - i : i;
        if (!block.run({b % grid.x, b / grid.x % grid.y, b / (grid.x * grid.y)}, grid, dim, how))
            return (void)fail(LAUNCH_FAILED, "a kernel does not end");
    }
    for (Pointer at : arrays)
        if (!fenced(at, all.memory[at].bytes)) return (void)fail(ILLEGAL_ADDRESS, "a kernel wrote past the ends of an array");
}
const Driver driver = {wait, words};
}

// For the fake cuBLAS.
extern "C" int fake_enqueue(void *stream, const std::function<void()> &work) {
    return add(static_cast<Stream *>(stream), work) == SUCCESS ? 0 : 13;
}
extern "C" bool fake_holds(uint64_t at, uint64_t bytes) {
    bool holds = holder(at, bytes) != state().memory.end();
    if (!holds) fail(ILLEGAL_ADDRESS, "a product reads or writes what is no memory of the card");
    return holds;
}

extern "C" {
// NVIDIA's NVRTC looks for functions of the driver that have no names. There are none: the table has its own size alone.
int cuGetExportTable(const void **table, const void *) {
    static const size_t none[1] = {sizeof none};
    return *table = none, SUCCESS;
}
int cuInit(unsigned) {
    if (number("FAKE_CARDS", 1) == 0) return NO_DEVICE;
    state().started = true;
    return SUCCESS;
}
int cuDriverGetVersion(int *version) { return *version = int(number("FAKE_DRIVER", 12080)), SUCCESS; }
int cuGetErrorName(int code, const char **name) {
    static const std::map<int, const char *> names = {
        {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"}, {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
        {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"}, {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
        {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"}, {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
        {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"}, {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
        {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"}, {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
        {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"}, {ECC_UNCORRECTABLE, "CUDA_ERROR_ECC_UNCORRECTABLE"},
    };
    auto it = names.find(code);
    if (it == names.end()) return INVALID_VALUE;
    return *name = it->second, SUCCESS;
}
int cuGetErrorString(int, const char **words) { return *words = "in the words of the fake driver", SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = int(number("FAKE_CARDS", 1)), SUCCESS; }
int cuDeviceGet(int *device, int ordinal) {
    if (ordinal < 0 || ordinal >= number("FAKE_CARDS", 1)) return INVALID_DEVICE;
    return *device = ordinal, SUCCESS;
}
int cuDeviceGetName(char *name, int length, int) { return snprintf(name, length, "a fake card"), SUCCESS; }
int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = number("FAKE_MEMORY", 1l << 31), SUCCESS; }
int cuDeviceGetAttribute(int *value, int which, int) {
    long architecture = number("FAKE_ARCHITECTURE", 80);
    switch (which) {
    case 8: return *value = 48 << 10, SUCCESS;
    case 75: return *value = int(architecture / 10), SUCCESS;
    case 76: return *value = int(architecture % 10), SUCCESS;
    }
    return INVALID_VALUE;
}
int cuDevicePrimaryCtxRetain(void **context, int) {
    if (!state().started) return NOT_INITIALIZED;
    state().retained++;
    return *context = &state().context, SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int) {
    Lock lock(state().mutex);
    if (--state().retained == 0) state().fault = SUCCESS;
    return SUCCESS;
}
int cuCtxSetCurrent(void *context) { return current = context, state().fault; }
int cuStreamCreate(Stream **stream, unsigned flags) {
    if (Code code = ready()) return code;
    if (flags != 1) return INVALID_VALUE;
    return *stream = new Stream, SUCCESS;
}
int cuStreamDestroy_v2(Stream *stream) { return delete stream, SUCCESS; }
int cuStreamSynchronize(Stream *stream) {
    Lock lock(state().mutex);
    if (Code code = ready()) return code;
    run(*stream);
    return state().fault;
}
int cuDeviceGetDefaultMemPool(void **pool, int) { return *pool = &state(), SUCCESS; }
int cuMemPoolSetAttribute(void *, int which, void *value) { return which == 4 && value ? SUCCESS : INVALID_VALUE; }
int cuMemPoolTrimTo(void *, size_t) { return ready(); }
int cuMemAllocAsync(Pointer *at, size_t bytes, Stream *stream) {
    Lock lock(state().mutex);
    if (Code code = ready()) return code;
    if (bytes == 0) return INVALID_VALUE;
    size_t most = number("FAKE_MEMORY", 1l << 31);
    // Memory whose freeing is a command before this one serves.
    if (state().held + bytes > most) run(*stream);
    if (state().fault) return state().fault;
    if (state().held + bytes > most) return OUT_OF_MEMORY;
    size_t whole = bytes + 2 * GUARD;
    char *made = static_cast<char *>(aligned_alloc(GUARD, (whole + GUARD - 1) / GUARD * GUARD));
    memset(made, FENCE, GUARD);
    memset(made + GUARD, FRESH, bytes);
    memset(made + GUARD + bytes, FENCE, GUARD);
    *at = reinterpret_cast<Pointer>(made + GUARD);
    state().memory[*at] = {bytes, false};
    state().held += bytes;
    return SUCCESS;
}
int cuMemFreeAsync(Pointer at, Stream *stream) {
    return add(stream, [=] { release(at); });
}
int cuMemcpyHtoDAsync_v2(Pointer to, const void *from, size_t bytes, Stream *stream) {
    // Memory that is not pinned is read before the call returns.
    auto copy = std::make_shared<std::vector<char>>(static_cast<const char *>(from), static_cast<const char *>(from) + bytes);
    return add(stream, [=] {
        if (holder(to, bytes) == state().memory.end()) return (void)fail(ILLEGAL_ADDRESS, "a copy to what is no memory of the card");
        memcpy(inside(to), copy->data(), bytes);
    });
}
int cuMemcpyDtoHAsync_v2(void *to, Pointer from, size_t bytes, Stream *stream) {
    return add(stream, [=] {
        if (holder(from, bytes) == state().memory.end()) return (void)fail(ILLEGAL_ADDRESS, "a copy from what is no memory of the card");
        memcpy(to, inside(from), bytes);
    });
}
int cuModuleLoadData(Module **module, const void *image) {
    Lock lock(state().mutex);
    if (Code code = ready()) return code;
    auto *bytes = static_cast<const unsigned char *>(image);
    if (memcmp(bytes, "\177ELF", 4) != 0) return INVALID_IMAGE;
    // The table of sections is the last part of the file.
    uint64_t sections;
    uint16_t size, count;
    memcpy(&sections, bytes + 0x28, 8), memcpy(&size, bytes + 0x3a, 2), memcpy(&count, bytes + 0x3c, 2);
    std::string path = std::filesystem::temp_directory_path() / "fake-cuda-module-XXXXXX";
    int file = mkstemp(&path[0]);
    size_t length = sections + size_t(size) * count;
    bool written = file >= 0 && write(file, image, length) == ssize_t(length);
    close(file);
    void *library = written ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
    unlink(path.c_str());
    if (!library) return fprintf(stderr, "fake CUDA: %s\n", dlerror()), INVALID_IMAGE;
    auto find = [&](const char *name) { return dlsym(library, name); };
    auto *made = new Module{library, {}, {}};
    made->kernel.place = reinterpret_cast<void (*)(const Here *)>(find("fake_place"));
    made->kernel.call = reinterpret_cast<void (*)(void **)>(find("fake_call"));
    made->kernel.shared = reinterpret_cast<char *(*)(unsigned long *)>(find("fake_shared"))(&made->kernel.shared_bytes);
    unsigned parameters = reinterpret_cast<unsigned (*)()>(find("fake_count"))();
    for (unsigned i = 0; i < parameters; i++) made->sizes.push_back(reinterpret_cast<unsigned (*)(unsigned)>(find("fake_size"))(i));
    reinterpret_cast<void (*)(const Driver *)>(find("fake_start"))(&driver);
    return *module = made, SUCCESS;
}
int cuModuleGetFunction(Module **function, Module *module, const char *name) {
    if (!dlsym(module->library, name)) return NOT_FOUND;
    return *function = module, SUCCESS;
}
int cuModuleUnload(Module *module) {
    dlclose(module->library);
    return delete module, SUCCESS;
}
int cuLaunchKernel(Module *module, unsigned gx, unsigned gy, unsigned gz, unsigned x, unsigned y, unsigned z, unsigned,
                   Stream *stream, void **given, void **) {
    Lock lock(state().mutex);
    if (Code code = ready()) return code;
    if (!gx || !gy || !gz || gx > 0x7fffffff || gy > 0xffff || gz > 0xffff || x * y * z > 1024 || !x || !y || !z) return INVALID_VALUE;
    if (++state().launches == number("FAKE_LOST", 0))
        return add(stream, [] { fail(ECC_UNCORRECTABLE, "the card is lost"); });
    std::vector<std::vector<char>> copies;
    for (size_t i = 0; i < module->sizes.size(); i++) {
        auto *from = static_cast<const char *>(given[i]);
        copies.emplace_back(from, from + (module->sizes[i] ? module->sizes[i] : sizeof(Pointer)));
    }
    return add(stream, [=] { launch(*module, {gx, gy, gz}, {x, y, z}, copies); });
}
}
