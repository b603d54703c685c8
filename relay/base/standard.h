/* Standard input, output and error as descriptors that exist.
 *
 * A program that was started without one of them (`2>&-`) would get its number for the next thing
 * that it opens, and so write its words into a socket; libuv aborts where it sees that. */
#ifndef RELAY_BASE_STANDARD_H
#define RELAY_BASE_STANDARD_H

/* Open what of the three is closed, before anything else is opened: what is written to it is
 * dropped, and reading fails as it would have. Returns RELAY_OK or RELAY_EIO. */
int standard_open(void);

#endif
