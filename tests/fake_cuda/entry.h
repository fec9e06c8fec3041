// What the fake driver asks of a kernel's library. Stands behind the text of the kernel.
#pragma once
namespace farspan {}
using namespace farspan;
namespace fake {
#if defined(__clang__)
template <typename T, T... I> using Listed = Numbers<I...>;
template <unsigned N> using First = __make_integer_seq<Listed, unsigned, N>;
#else
template <unsigned N> using First = Numbers<__integer_pack(N)...>;
#endif
using Of = Entry<decltype(farspan_kernel)>;
}
extern "C" {
// Bounds of the memory that a block shares; the linker makes them where there is any.
extern char __start_of_block[] __attribute__((weak, visibility("hidden")));
extern char __stop_of_block[] __attribute__((weak, visibility("hidden")));
unsigned fake_count() { return fake::Of::count; }
unsigned fake_size(unsigned i) { return fake::Of::size(i); }
char *fake_shared(unsigned long *bytes) {
    *bytes = __stop_of_block - __start_of_block;
    return __start_of_block;
}
void fake_start(const fake::Driver *driver) { fake::driver = driver; }
void fake_place(const fake::Here *here) { fake::here = here; }
void fake_call(void **given) { fake::Of::call(farspan_kernel, given, fake::First<fake::Of::count>()); }
}
