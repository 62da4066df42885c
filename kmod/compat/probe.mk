# SPDX-License-Identifier: GPL-2.0-only
# Each probe is a file that compiles on the kernels that have what it is named
# after, and then defines KPOST_HAVE_<NAME>.

probe = $(call try-run,$(CC) $(NOSTDINC_FLAGS) $(LINUXINCLUDE) $(KBUILD_CPPFLAGS) \
	$(KBUILD_CFLAGS) $(KBUILD_CFLAGS_MODULE) \
	-DKBUILD_MODNAME='"probe"' -DKBUILD_MODFILE='"probe"' -DKBUILD_BASENAME='"probe"' \
	-c -o "$$TMP" $(src)/compat/$(1).c,-D$(2),)

ccflags-y += $(call probe,ctl_table_const,KPOST_HAVE_CTL_TABLE_CONST)
ccflags-y += $(call probe,create_excl,KPOST_HAVE_CREATE_EXCL)
ccflags-y += $(call probe,default_d_op,KPOST_HAVE_DEFAULT_D_OP)
ccflags-y += $(call probe,fillattr_mask,KPOST_HAVE_FILLATTR_MASK)
ccflags-y += $(call probe,hrtimer_setup,KPOST_HAVE_HRTIMER_SETUP)
ccflags-y += $(call probe,import_fixed_issue_flags,KPOST_HAVE_IMPORT_FIXED_ISSUE_FLAGS)
ccflags-y += $(call probe,io_uring_cmd_done32,KPOST_HAVE_IO_URING_CMD_DONE32)
ccflags-y += $(call probe,io_uring_cmd_get_async_data,KPOST_HAVE_IO_URING_CMD_GET_ASYNC_DATA)
ccflags-y += $(call probe,io_uring_cmd_from_tw,KPOST_HAVE_IO_URING_CMD_FROM_TW)
ccflags-y += $(call probe,io_uring_cmd_h,KPOST_HAVE_IO_URING_CMD_H)
ccflags-y += $(call probe,io_uring_cmd_mark_cancelable,KPOST_HAVE_IO_URING_CMD_MARK_CANCELABLE)
ccflags-y += $(call probe,iou_f_twq_in_wake,KPOST_HAVE_IOU_F_TWQ_IN_WAKE)
ccflags-y += $(call probe,iter_iov,KPOST_HAVE_ITER_IOV)
ccflags-y += $(call probe,mnt_idmap,KPOST_HAVE_MNT_IDMAP)
ccflags-y += $(call probe,register_net_sysctl_sz,KPOST_HAVE_REGISTER_NET_SYSCTL_SZ)
ccflags-y += $(call probe,req_f_sqe_copied,KPOST_HAVE_REQ_F_SQE_COPIED)
ccflags-y += $(call probe,revalidate_dir,KPOST_HAVE_REVALIDATE_DIR)
ccflags-y += $(call probe,shrinker_alloc,KPOST_HAVE_SHRINKER_ALLOC)
