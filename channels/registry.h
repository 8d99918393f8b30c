/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TL_CHANNELS_REGISTRY_H
#define TL_CHANNELS_REGISTRY_H

struct channel_ops;

/* Made from CHANNELS in Makefile.am; ended by NULL. */
extern const struct channel_ops *const channels[];

#endif
