// What the fake driver and a kernel's library say to each other. Without other headers, so that a kernel compiles in a moment.
#pragma once

namespace fake {
struct Three { unsigned x, y, z; };
struct Here { Three thread, block, grid; unsigned lane; };
struct Driver {
    // Until all threads of the block (0) or of the warp (1) have come.
    void (*wait)(int warp);
    // Where the threads of a warp show each other a word.
    unsigned *(*words)();
};
}
