#!/usr/bin/python3
"""Machine and product files as C strings: embed.py OUT TABLE FILE..."""
import os
import sys


def quoted(text):
    lines = []
    for line in text.splitlines(keepends=True):
        escaped = line.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n')
        lines.append('\t "%s"' % escaped)
    return '\n'.join(lines) or '\t ""'


def main():
    out, table, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(out, 'w') as f:
        f.write('#include "core/machine.h"\n\nconst struct kf_sim_file %s[] = {\n' % table)
        for path in files:
            name = os.path.basename(path)[:-len('.yaml')]
            f.write('\t{"%s",\n%s},\n' % (name, quoted(open(path).read())))
        f.write('\t{NULL, NULL},\n};\n')


main()
