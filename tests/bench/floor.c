/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A program that only exits: what no helper can be cheaper than. */
int main(void) {
        return 0;
}
