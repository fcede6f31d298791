#!/usr/bin/python3
"""Make a C file that holds another file's bytes: embed.py FILE NAME HEADER > OUT.c"""
import sys

path, name, header = sys.argv[1:4]
data = open(path, "rb").read()
print(f'/* Made from {path.rsplit("/", 1)[-1]} by tools/embed.py. */')
print(f'#include "{header}"\n')
print(f"const unsigned {name}_size = {len(data)};")
print(f"const char {name}[] = {{")
for i in range(0, len(data), 16):
    print("\t" + " ".join(f"{b if b < 128 else b - 256}," for b in data[i : i + 16]))
print("\t0};")
