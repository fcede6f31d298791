#!/usr/bin/python3
"""Files as symbols of a C file: blobs.py STRIP OUT NAME=FILE...

The files are stripped of debugging information and included by the assembler."""
import os
import subprocess
import sys


def main():
    strip, out, blobs = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(out, 'w') as f:
        for blob in blobs:
            name, path = blob.split('=', 1)
            bare = os.path.abspath(out) + '.' + name
            subprocess.run([strip, '-g', '-o', bare, path], check=True)
            f.write('__asm__(".section .rodata." "%s,\\"a\\",%%progbits\\n"\n' % name)
            for label, body in ((name, '.incbin \\"%s\\"' % bare), (name + '_end', '.byte 0')):
                f.write('\t".globl %s\\n.hidden %s\\n.type %s, %%object\\n%s:\\n%s\\n"\n'
                        % (label, label, label, label, body))
            f.write('\t".previous\\n");\n')
        f.write('extern int kf_sim_blobs_are_asm;\n')


main()
