#section support_code_apply

/* The random words of one group: 16 counters, 4 words each, word by word. See random_words in dropout.py. */
static inline void APPLY_SPECIFIC(random_group)(
    npy_uint64 group, const npy_uint32 key[2], const npy_uint32 position[3], npy_uint32 words[64]) {
#pragma omp simd
  for (int lane = 0; lane < 16; lane++) {
    npy_uint32 c0 = (npy_uint32)(group * 16 + lane), c1 = position[0], c2 = position[1], c3 = position[2];
    npy_uint32 key0 = key[0], key1 = key[1];
    for (int round = 0; round < 10; round++) {
      npy_uint64 product0 = (npy_uint64)0xD2511F53u * c0;
      npy_uint64 product1 = (npy_uint64)0xCD9E8D57u * c2;
      npy_uint32 next0 = (npy_uint32)(product1 >> 32) ^ c1 ^ key0;
      npy_uint32 next2 = (npy_uint32)(product0 >> 32) ^ c3 ^ key1;
      c1 = (npy_uint32)product1;
      c3 = (npy_uint32)product0;
      c0 = next0;
      c2 = next2;
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    words[lane] = c0;
    words[lane + 16] = c1;
    words[lane + 32] = c2;
    words[lane + 48] = c3;
  }
}

int APPLY_SPECIFIC(dropout)(
    PyArrayObject* array, PyArrayObject* fraction, PyArrayObject* key, PyArrayObject* position, PyArrayObject** out) {
  if (PyArray_DIM(key, 0) != 2 || PyArray_DIM(position, 0) != 3) {
    PyErr_SetString(PyExc_ValueError, "dropout: need a key of two words and a position of three");
    return 1;
  }
  npy_uint32 key_words[2], position_words[3];
  for (int i = 0; i < 2; i++) key_words[i] = (npy_uint32) * (npy_int64*)PyArray_GETPTR1(key, i);
  for (int i = 0; i < 3; i++) position_words[i] = (npy_uint32) * (npy_int64*)PyArray_GETPTR1(position, i);
  double dropped = *(npy_float64*)PyArray_DATA(fraction);
  /* A unit stays when its word is at least this; the product is below 2^32, since the fraction is below 1. */
  npy_uint64 threshold = (npy_uint64)ceil(dropped * 4294967296.0);
  DTYPE_INPUT_0 scale = (DTYPE_INPUT_0)(1.0 / (1.0 - dropped));

  if (*out == NULL || PyArray_NDIM(*out) != PyArray_NDIM(array) || !PyArray_IS_C_CONTIGUOUS(*out) ||
      !PyArray_CompareLists(PyArray_DIMS(*out), PyArray_DIMS(array), PyArray_NDIM(array))) {
    Py_XDECREF(*out);
    *out = (PyArrayObject*)PyArray_SimpleNew(PyArray_NDIM(array), PyArray_DIMS(array), TYPENUM_INPUT_0);
    if (*out == NULL) return 1;
  }
  PyArrayObject* source = (PyArrayObject*)PyArray_GETCONTIGUOUS(array);
  if (source == NULL) return 1;
  const DTYPE_INPUT_0* x = (const DTYPE_INPUT_0*)PyArray_DATA(source);
  DTYPE_INPUT_0* y = (DTYPE_INPUT_0*)PyArray_DATA(*out);
  npy_intp size = PyArray_SIZE(source);

  npy_uint32 words[64];
  npy_uint32 least = threshold > 0xFFFFFFFFu ? 0xFFFFFFFFu : (npy_uint32)threshold;
  for (npy_intp start = 0; start < size; start += 64) {
    npy_intp count = size - start < 64 ? size - start : 64;
    APPLY_SPECIFIC(random_group)((npy_uint64)(start / 64), key_words, position_words, words);
#pragma omp simd
    for (npy_intp i = 0; i < count; i++) {
      DTYPE_INPUT_0 scaled = x[start + i] * scale;
      y[start + i] = words[i] < least ? (DTYPE_INPUT_0)0 : scaled;
    }
  }
  Py_DECREF(source);
  return 0;
}
