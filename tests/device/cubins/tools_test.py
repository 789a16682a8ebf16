"""What reads ptxas's and nvdisasm's output, and what judges it, on texts of known content."""

import unittest

from . import budget_test, sass_mix, toolkit

PTXAS = """
ptxas info    : Compiling entry function '_Z1a' for 'sm_80'
ptxas info    : Function properties for _Z1a
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 64 registers, used 1 barriers, 8 bytes cumulative stack size, 1024 bytes smem, 472 bytes cmem[0]
ptxas info    : Compiling entry function '_Z1b' for 'sm_80'
ptxas info    : Function properties for _Z1b
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 20 registers, 400 bytes cmem[0]
"""

# An outer loop around a hot one that has a branch inside, and something that is never done; a slow copy behind BRA.DIV comes back to the hot one.
LISTING = """
.text._Z1a:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_0:
        /*0010*/                   IADD3 R2, R2, 0x1, RZ ;
.L_x_1:
        /*0020*/                   LDS.128 R4, [R2] ;
        /*0030*/              @!P0 BRA `(.L_x_2) ;
        /*0040*/                   FFMA R8, R4, R5, R8 ;
        /*0048*/             @!UPT UIADD3 URZ, URZ, URZ, URZ ;
.L_x_2:
        /*0050*/                   HADD2.F32 R9, -RZ, R4.H0_H0 ;
        /*0060*/                   BRA.DIV ~URZ, `(.L_x_3) ;
        /*0070*/                   SHFL.BFLY PT, R6, R6, 0x1, 0x1f ;
.L_x_4:
        /*0080*/              @!P1 BRA `(.L_x_1) ;
        /*0090*/               @P2 BRA `(.L_x_0) ;
        /*00a0*/                   EXIT ;
.L_x_3:
        /*00b0*/                   IMAD.MOV.U32 R6, RZ, RZ, R7 ;
        /*00c0*/                   BRA `(.L_x_4) ;
"""


class Reading(unittest.TestCase):
    def test_ptxas(self):
        self.assertEqual(
            toolkit.parse_ptxas(PTXAS),
            {"_Z1a": toolkit.Resources(64, 8, 16, 1024), "_Z1b": toolkit.Resources(20, 0, 0, 0)},
        )

    def test_names(self):
        name = "void elbeam::kernels::entry<elbeam::kernels::Paged<elbeam::kernels::Geometry<float, 32, 8, true> > >(Args)"
        self.assertEqual(toolkit.short_name(name), "Paged<float, 32, 8, wide>")

    def test_kinds(self):
        for opcode, kind in (("HMMA.16816.F32", "tensor core"), ("LDGSTS.E.BYPASS.128", "load"), ("LDSM.16.M88.4", "load"),
                             ("IMAD.MOV.U32", "move and other"), ("IMAD.IADD", "address"), ("HADD2.F32", "convert"),
                             ("FFMA", "arithmetic"), ("STS.128", "store"), ("SHFL.BFLY", "exchange"), ("BRA", "control")):  # fmt: skip
            self.assertEqual(sass_mix.kind_of(opcode), kind, opcode)

    def test_the_hot_loop(self):
        mix = sass_mix.hot_loop(*sass_mix.parse(LISTING)["_Z1a"])
        self.assertEqual(
            dict(mix), {"load": 1, "control": 4, "arithmetic": 1, "convert": 1, "exchange": 1}
        )

    def test_no_loop(self):
        self.assertIsNone(
            sass_mix.hot_loop(*sass_mix.parse(LISTING.replace("@", "//"))["_Z1a"][:1], {})
        )


class Judging(unittest.TestCase):
    def complaints(self, **now):
        resources = toolkit.Resources(
            **{"registers": 64, "stack": 0, "spills": 0, "shared": 0, **now}
        )
        return list(budget_test.complaints("sm_80", {"K": resources}, {"K": 64}))

    def test_within(self):
        self.assertEqual(self.complaints(), [])

    def test_each_excess_is_named(self):
        for field, value, words in (("registers", 65, "registers: expected at most 64, got 65"),
                                    ("spills", 4, "bytes spilled: expected at most 0, got 4"),
                                    ("stack", 8, "bytes of stack: expected at most 0, got 8"),
                                    ("shared", 16, "static shared memory: expected at most 0, got 16")):  # fmt: skip
            self.assertEqual(len(found := self.complaints(**{field: value})), 1)
            self.assertIn("sm_80 K: ", found[0])
            self.assertIn(words, found[0])

    def test_kernels_that_come_and_go(self):
        found = list(
            budget_test.complaints("sm_80", {"New": toolkit.Resources(8, 0, 0, 0)}, {"Old": 8})
        )
        self.assertEqual(len(found), 2)
        self.assertIn("Old: in budgets.json, but not compiled", found[0])
        self.assertIn("New: not in budgets.json, 8 registers", found[1])


if __name__ == "__main__":
    unittest.main()
