//! The schema's enumerations.

use crate::grammar::enumeration;

enumeration! {
    /// `faultCodeType`.
    FaultCode {
        ParsingError "ParsingError",
        NoTlsRootCertificateAvailable "NoTLSRootCertificatAvailable",
        UnknownError "UnknownError",
    }
}

enumeration! {
    /// `responseCodeType`.
    ResponseCode {
        Ok "OK",
        OkNewSessionEstablished "OK_NewSessionEstablished",
        OkOldSessionJoined "OK_OldSessionJoined",
        OkCertificateExpiresSoon "OK_CertificateExpiresSoon",
        Failed "FAILED",
        FailedSequenceError "FAILED_SequenceError",
        FailedServiceIdInvalid "FAILED_ServiceIDInvalid",
        FailedUnknownSession "FAILED_UnknownSession",
        FailedServiceSelectionInvalid "FAILED_ServiceSelectionInvalid",
        FailedPaymentSelectionInvalid "FAILED_PaymentSelectionInvalid",
        FailedCertificateExpired "FAILED_CertificateExpired",
        FailedSignatureError "FAILED_SignatureError",
        FailedNoCertificateAvailable "FAILED_NoCertificateAvailable",
        FailedCertChainError "FAILED_CertChainError",
        FailedChallengeInvalid "FAILED_ChallengeInvalid",
        FailedContractCanceled "FAILED_ContractCanceled",
        FailedWrongChargeParameter "FAILED_WrongChargeParameter",
        FailedPowerDeliveryNotApplied "FAILED_PowerDeliveryNotApplied",
        FailedTariffSelectionInvalid "FAILED_TariffSelectionInvalid",
        FailedChargingProfileInvalid "FAILED_ChargingProfileInvalid",
        FailedEvsePresentVoltageToLow "FAILED_EVSEPresentVoltageToLow",
        FailedMeteringSignatureNotValid "FAILED_MeteringSignatureNotValid",
        FailedWrongEnergyTransferType "FAILED_WrongEnergyTransferType",
    }
}

enumeration! {
    /// `EVSEProcessingType`.
    EvseProcessing {
        Finished "Finished",
        Ongoing "Ongoing",
    }
}

enumeration! {
    /// `EVSENotificationType`.
    EvseNotification {
        None "None",
        StopCharging "StopCharging",
        ReNegotiation "ReNegotiation",
    }
}

enumeration! {
    /// `serviceCategoryType`.
    ServiceCategory {
        EvCharging "EVCharging",
        Internet "Internet",
        ContractCertificate "ContractCertificate",
        OtherCustom "OtherCustom",
    }
}

enumeration! {
    /// `paymentOptionType`.
    PaymentOption {
        Contract "Contract",
        ExternalPayment "ExternalPayment",
    }
}

enumeration! {
    /// `EVSESupportedEnergyTransferType`.
    EvseSupportedEnergyTransferType {
        AcSinglePhaseCore "AC_single_phase_core",
        AcThreePhaseCore "AC_three_phase_core",
        DcCore "DC_core",
        DcExtended "DC_extended",
        DcComboCore "DC_combo_core",
        DcDual "DC_dual",
        AcCore1pDcExtended "AC_core1p_DC_extended",
        AcSingleDcCore "AC_single_DC_core",
        AcSinglePhaseThreePhaseCoreDcExtended "AC_single_phase_three_phase_core_DC_extended",
        AcCore3pDcExtended "AC_core3p_DC_extended",
    }
}

enumeration! {
    /// `EVRequestedEnergyTransferType`.
    EvRequestedEnergyTransferType {
        AcSinglePhaseCore "AC_single_phase_core",
        AcThreePhaseCore "AC_three_phase_core",
        DcCore "DC_core",
        DcExtended "DC_extended",
        DcComboCore "DC_combo_core",
        DcUnique "DC_unique",
    }
}

enumeration! {
    /// `unitSymbolType`.
    Unit {
        Hours "h",
        Minutes "m",
        Seconds "s",
        Amperes "A",
        AmpereHours "Ah",
        Volts "V",
        VoltAmperes "VA",
        Watts "W",
        WattsPerSecond "W/s",
        WattHours "Wh",
    }
}

enumeration! {
    /// `valueType`.
    ValueType {
        Bool "bool",
        Byte "byte",
        Short "short",
        Int "int",
        PhysicalValue "physicalValue",
        String "string",
    }
}

enumeration! {
    /// `isolationLevelType`.
    IsolationLevel {
        Invalid "Invalid",
        Valid "Valid",
        Warning "Warning",
        Fault "Fault",
    }
}

enumeration! {
    /// `DC_EVSEStatusCodeType`.
    DcEvseStatusCode {
        NotReady "EVSE_NotReady",
        Ready "EVSE_Ready",
        Shutdown "EVSE_Shutdown",
        UtilityInterruptEvent "EVSE_UtilityInterruptEvent",
        IsolationMonitoringActive "EVSE_IsolationMonitoringActive",
        EmergencyShutdown "EVSE_EmergencyShutdown",
        Malfunction "EVSE_Malfunction",
        Reserved8 "Reserved_8",
        Reserved9 "Reserved_9",
        ReservedA "Reserved_A",
        ReservedB "Reserved_B",
        ReservedC "Reserved_C",
    }
}

enumeration! {
    /// `DC_EVErrorCodeType`.
    DcEvErrorCode {
        NoError "NO_ERROR",
        FailedRessTemperatureInhibit "FAILED_RESSTemperatureInhibit",
        FailedEvShiftPosition "FAILED_EVShiftPosition",
        FailedChargerConnectorLockFault "FAILED_ChargerConnectorLockFault",
        FailedEvRessMalfunction "FAILED_EVRESSMalfunction",
        FailedChargingCurrentDifferential "FAILED_ChargingCurrentdifferential",
        FailedChargingVoltageOutOfRange "FAILED_ChargingVoltageOutOfRange",
        ReservedA "Reserved_A",
        ReservedB "Reserved_B",
        ReservedC "Reserved_C",
        FailedChargingSystemIncompatibility "FAILED_ChargingSystemIncompatibility",
        NoData "NoData",
    }
}
