// A fake cuBLAS: products of matrices through the fake driver's stream.
#include <cstdint>
#include <cstring>
#include <functional>

// What the fake driver lets its libraries do.
extern "C" int fake_enqueue(void *stream, const std::function<void()> &work);
extern "C" bool fake_holds(uint64_t at, uint64_t bytes);

namespace {
struct Handle { void *stream = nullptr; };

// What tensor cores read of a number: so many bits of its mantissa, to nearest, ties to even.
float rounded(float x, int bits) {
    if (bits == 23 || x != x) return x;
    uint32_t word, last = 1u << (23 - bits);
    memcpy(&word, &x, 4);
    word = (word + last / 2 - 1 + (word / last & 1)) & ~(last - 1);
    memcpy(&x, &word, 4);
    return x;
}
}

extern "C" {
int cublasCreate_v2(Handle **handle) { return *handle = new Handle, 0; }
int cublasDestroy_v2(Handle *handle) { return delete handle, 0; }
int cublasSetStream_v2(Handle *handle, void *stream) { return handle->stream = stream, 0; }
int cublasGetProperty(int which, int *value) { return *value = which == 0 ? 12 : 8, 0; }
const char *cublasGetStatusString(int status) { return status == 7 ? "CUBLAS_STATUS_INVALID_VALUE" : "CUBLAS_STATUS_EXECUTION_FAILED"; }

// By columns: c (m, n) = a' (m, k) · b' (k, n), where a' and b' are a and b, turned if asked.
int cublasGemmStridedBatchedEx(Handle *handle, int turn_a, int turn_b, int m, int n, int k, const float *alpha, uint64_t a, int of_a_type,
                               int lda, long long stride_a, uint64_t b, int of_b_type, int ldb, long long stride_b, const float *beta,
                               uint64_t c, int of_c_type, int ldc, long long stride_c, int batch, int compute, int) {
    // f32, and computed as f32, tf32 or bf16.
    if (!handle->stream || of_a_type || of_b_type || of_c_type || *alpha != 1 || *beta != 0) return 13;
    if (compute != 68 && compute != 77 && compute != 75) return 7;
    int bits = compute == 68 ? 23 : compute == 77 ? 10 : 7;
    if (m <= 0 || n <= 0 || k <= 0 || batch <= 0) return 7;
    if (lda < (turn_a ? k : m) || ldb < (turn_b ? n : k) || ldc < m) return 7;
    auto last = [&](int rows, int columns, int ld, long long stride) {
        return 4 * (uint64_t(columns - 1) * ld + rows + uint64_t(batch - 1) * stride);
    };
    uint64_t of_a = turn_a ? last(k, m, lda, stride_a) : last(m, k, lda, stride_a);
    uint64_t of_b = turn_b ? last(n, k, ldb, stride_b) : last(k, n, ldb, stride_b);
    uint64_t of_c = last(m, n, ldc, stride_c);
    return fake_enqueue(handle->stream, [=] {
        if (!fake_holds(a, of_a) || !fake_holds(b, of_b) || !fake_holds(c, of_c)) return;
        for (int i = 0; i < batch; i++) {
            auto *x = reinterpret_cast<const float *>(a) + i * stride_a;
            auto *y = reinterpret_cast<const float *>(b) + i * stride_b;
            auto *z = reinterpret_cast<float *>(c) + i * stride_c;
            for (int column = 0; column < n; column++)
                for (int row = 0; row < m; row++) {
                    float sum = 0;
                    for (int d = 0; d < k; d++)
                        sum += rounded(x[turn_a ? d + row * lda : row + d * lda], bits) *
                               rounded(y[turn_b ? column + d * ldb : d + column * ldb], bits);
                    z[row + column * ldc] = sum;
                }
        }
    });
}
}
