"""tests/sim/cuda.py on hardware: the same program, with kernels that are compiled and run."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "sim"))
import cuda  # noqa: E402

HEAD = ".version 6.0\n.target sm_50\n.address_size 64\n"
FILL = """.visible .entry fill(.param .u64 p)
{ .reg .b32 %r<3>; .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [p]; cvta.to.global.u64 %rd1, %rd1; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4;
  add.s64 %rd3, %rd1, %rd2; mad.lo.u32 %r2, %r1, 3, 7; st.global.u32 [%rd3], %r2; ret; }
"""
BAD = """.visible .entry bad(.param .u64 p)
{ .reg .b32 %r<2>; .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [p]; add.s64 %rd2, %rd1, 16; mov.u32 %r1, 1; st.global.u32 [%rd2], %r1; ret; }
"""
cuda.PTX = HEAD + FILL + BAD

if __name__ == "__main__":
    cuda.main()
