"""What chapter 3 says: accuracy (%), mean IoU (%), GT-known Loc (%), by labelled images."""

COUNTS = (500, 1000, 2500, 5000, "full")

TABLE_3_2 = {
    ("cifar10", "", "standard"): (38.58, 52.63, 72.94, 82.38, 94.22),
    ("cifar10", "svhn", "oat"): (40.55, 52.80, 73.24, 82.56, 94.38),
    ("cifar10", "svhn", "taufe"): (41.58, 56.72, 73.61, 82.88, 94.45),
    ("cifar10", "lsun", "oat"): (40.73, 53.16, 73.51, 82.71, 94.61),
    ("cifar10", "lsun", "taufe"): (42.51, 56.79, 74.15, 83.73, 95.02),
}
TABLE_3_3 = {  # CUB-200 with ImageNet as OOD, N = 2,000, 4,000, all; by loss
    ("l1", "standard"): (66.41, 73.10, 76.42),
    ("l1", "taufe"): (67.16, 74.31, 77.12),
    ("l1_iou", "standard"): (66.57, 73.28, 76.67),
    ("l1_iou", "taufe"): (67.22, 74.40, 77.24),
    ("d_iou", "standard"): (66.82, 73.18, 76.57),
    ("d_iou", "taufe"): (67.03, 74.22, 77.00),
}
TABLE_3_3_CARS = {
    ("l1", "standard"): (83.06, 85.50, 90.56),
    ("l1", "taufe"): (85.23, 87.82, 91.32),
    ("l1_iou", "standard"): (83.52, 86.54, 91.25),
    ("l1_iou", "taufe"): (85.82, 89.11, 91.40),
    ("d_iou", "standard"): (83.62, 87.93, 91.09),
    ("d_iou", "taufe"): (85.30, 89.06, 91.35),
}
TABLE_3_4 = {  # N = 2,000, 4,000, all, with ImageNet as OOD
    ("birds", "standard"): (54.45, 58.37, 64.02),
    ("birds", "oat"): (55.24, 60.24, 64.91),
    ("birds", "taufe"): (59.68, 61.88, 65.56),
    ("vehicles", "standard"): (62.09, 67.12, 70.54),
    ("vehicles", "oat"): (63.77, 67.24, 71.64),
    ("vehicles", "taufe"): (65.82, 69.05, 72.14),
}
TABLE_3_5 = {("", "standard"): 88.32, ("svhn", "taufe"): 90.02, ("lsun", "taufe"): 90.10}  # 250 labels of CIFAR-10
TABLE_3_6 = {  # clean and adversarial accuracy, CIFAR-10, all images
    ("", "standard"): (71.22, 44.26),
    ("svhn", "taufe"): (72.35, 44.37),
    ("lsun", "taufe"): (72.31, 45.48),
}
TABLE_3_7 = {  # AUROC, AUPR-out, FPR95 on SVHN, after LSUN in training
    ("standard", "msp"): (92.20, 88.56, 20.67),
    ("taufe", "msp"): (92.17, 89.71, 22.96),
    ("standard", "energy"): (93.6, 89.96, 20.06),
    ("taufe", "energy"): (93.37, 90.08, 22.88),
}
TABLE_3_8 = {"standard": TABLE_3_2["cifar10", "", "standard"], "simclr": (30.45, 47.70, 71.66, 82.36, 94.40)}
TABLE_3_8["taufe"] = TABLE_3_2["cifar10", "svhn", "taufe"]
