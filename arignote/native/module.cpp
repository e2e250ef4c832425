/* The Python module `kernels`: one function per kernel, `set_threads`, and `use_threads`. */
#define PY_SSIZE_T_CLEAN
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <Python.h>
#include <numpy/arrayobject.h>

#include <map>
#include <vector>

#include "kernel.h"

namespace arignote {

static std::map<std::string, Kernel>& kernels() {
  static std::map<std::string, Kernel> registry; /* created on first use: source files are initialized in any order */
  return registry;
}

Registration::Registration(const char* name, Kernel kernel) { kernels()[name] = kernel; }

static int n_threads = 1;
static thread_local int n_threads_here = 0; /* of the kernels that this thread calls, if it differs */

static bool read_array(PyObject* object, Array* array) {
  PyArrayObject* found = reinterpret_cast<PyArrayObject*>(object);
  if (!PyArray_IS_C_CONTIGUOUS(found) || !PyArray_ISALIGNED(found)) {
    PyErr_SetString(PyExc_ValueError, "got an array that is not contiguous or not aligned; need contiguous arrays");
    return false;
  }
  *array = {PyArray_DATA(found), PyArray_DIMS(found), PyArray_NDIM(found), PyArray_DESCR(found)->type};
  return true;
}

/* Call the kernel that `self` points to, without holding the GIL. */
static PyObject* call(PyObject* self, PyObject* const* objects, Py_ssize_t n_objects) {
  Kernel kernel = reinterpret_cast<Kernel>(PyLong_AsVoidPtr(self));
  std::vector<Array> arrays;
  std::vector<double> numbers;
  arrays.reserve(n_objects);
  numbers.reserve(n_objects);
  for (Py_ssize_t i = 0; i < n_objects; i++) {
    if (PyArray_Check(objects[i])) {
      Array array;
      if (!read_array(objects[i], &array)) return NULL;
      arrays.push_back(array);
    } else {
      numbers.push_back(PyFloat_AsDouble(objects[i]));
      if (PyErr_Occurred()) return NULL;
    }
  }
  std::string problem;
  Py_BEGIN_ALLOW_THREADS;
  try {
    omp_set_num_threads(n_threads_here ? n_threads_here : n_threads); /* OpenMP stores this setting per calling thread */
    kernel({arrays.data(), static_cast<int>(arrays.size()), numbers.data(), static_cast<int>(numbers.size())});
  } catch (const std::exception& error) {
    problem = error.what();
    if (problem.empty()) problem = "unknown error";
  }
  Py_END_ALLOW_THREADS;
  if (!problem.empty()) {
    PyErr_SetString(PyExc_RuntimeError, problem.c_str());
    return NULL;
  }
  Py_RETURN_NONE;
}

static PyObject* set_number(int* target, PyObject* number) {
  long n = PyLong_AsLong(number);
  if (n == -1 && PyErr_Occurred()) return NULL;
  *target = static_cast<int>(n);
  Py_RETURN_NONE;
}

static PyObject* set_threads(PyObject*, PyObject* number) { return set_number(&n_threads, number); }

static PyObject* use_threads(PyObject*, PyObject* number) { return set_number(&n_threads_here, number); }

}  // namespace arignote

static PyMethodDef functions[] = {{"set_threads", arignote::set_threads, METH_O, NULL},
                                  {"use_threads", arignote::use_threads, METH_O, NULL},
                                  {NULL, NULL, 0, NULL}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "kernels", NULL, -1, functions};

PyMODINIT_FUNC PyInit_kernels() {
  import_array();
  PyObject* module = PyModule_Create(&definition);
  if (module == NULL) return NULL;
  static std::vector<PyMethodDef> methods; /* Python stores pointers to these */
  methods.reserve(arignote::kernels().size());
  for (auto& entry : arignote::kernels()) {
    PyCFunction function = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)(void)>(arignote::call));
    methods.push_back({entry.first.c_str(), function, METH_FASTCALL, NULL});
    PyObject* pointer = PyLong_FromVoidPtr(reinterpret_cast<void*>(entry.second));
    PyObject* callable = pointer == NULL ? NULL : PyCFunction_New(&methods.back(), pointer);
    Py_XDECREF(pointer);
    if (callable == NULL || PyModule_AddObject(module, entry.first.c_str(), callable) < 0) return NULL;
  }
  return module;
}
